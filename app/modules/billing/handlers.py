"""What follows from billing's own news."""

from app.core.context import Context
from app.core.tasks import enqueue
from app.modules.billing.events import InvoiceIssued, InvoiceUnpaid
from app.modules.billing.services import ReminderService
from app.modules.billing.tasks import collect_invoice


async def collect_issued_invoice(ctx: Context, event: InvoiceIssued) -> None:
    """Make the first attempt to collect an invoice, where that is due at once."""
    await enqueue(ctx, collect_invoice.but(unique=str(event.object_id)), event.object_id)


async def remind_of_invoice(ctx: Context, event: InvoiceUnpaid) -> None:
    """Mail the customer what is not paid, and what comes next."""
    await ReminderService(ctx).send(event.object_id)
