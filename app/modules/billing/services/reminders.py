"""What customers are told of payments that failed."""

import uuid

from app.core.context import Context
from app.core.mails import post
from app.extensions.logs import get_logger
from app.modules.billing.builders import reminder
from app.modules.billing.repository import CustomerRepository, InvoiceRepository
from app.tenants.services import CurrentTenantService

log = get_logger(__name__)


class ReminderService:
    """Mail customers; for a unit of work that carries out an entry of the outbox."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def send(self, invoice_id: uuid.UUID) -> None:
        """Tell a customer that an invoice is not paid, unless it is by now; raises OSError when nobody takes the mail.

        All is read before, so that no connection waits for the mailer. Beyond what a recipient gets of all tenants
        together (`limits.mail_recipient`) it is dropped; each attempt to send it counts.
        """
        async with self.ctx.reader() as reader:
            invoice = await InvoiceRepository(reader.session).load(invoice_id)
            customer = await CustomerRepository(reader.session).load(invoice.customer_id)
            tenant = await CurrentTenantService(reader).get()
        if invoice.failure is None:
            return
        if await self.ctx.limits.may_mail("remind", customer.email):
            await post(self.ctx, customer.email, reminder(invoice, tenant.name))
        else:
            log.warning("reminder_dropped", invoice_id=str(invoice_id))
