"""What a payment, or the want of one, means for an invoice and its subscription."""

import uuid

from app.config import settings
from app.core.context import Context
from app.modules.billing.events import InvoicePaid, InvoiceUnpaid, InvoiceVoided, PaymentStray
from app.modules.billing.models import INVOICE_MOVES, Invoice, InvoiceStatus, Money
from app.modules.billing.repository import InvoiceRepository, LedgerRepository
from app.modules.billing.schemas import InvoiceDetail
from app.modules.billing.services.announcing import announce
from app.modules.billing.services.subscriptions import SubscriptionService
from app.utils.helpers import utcnow


class PaymentService:
    """How the payment of the tenant's invoices stands. Money that came is never overlooked."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.invoices, self.ledger = ctx, InvoiceRepository(ctx.session), LedgerRepository(ctx)
        self.subscriptions = SubscriptionService(ctx)

    async def record(self, invoice_id: uuid.UUID, reference: str) -> InvoiceDetail:
        """Note a payment that came another way; raises `IllegalMoveError` for an invoice that nobody owes."""
        await self._pay(await self.invoices.load(invoice_id, locked=True), reference)
        return await self.invoices.show(invoice_id)

    async def void(self, invoice_id: uuid.UUID) -> InvoiceDetail:
        """Withdraw an invoice, which keeps its number; raises `IllegalMoveError` and `PaymentPendingError`."""
        before = await self.invoices.load(invoice_id, locked=True)
        after = before.voided(utcnow())
        await self.invoices.save(after)
        await announce(self.ctx, InvoiceVoided, before, after)
        await self.subscriptions.settle(after.subscription_id)
        return await self.invoices.show(invoice_id)

    async def succeeded(self, invoice_id: uuid.UUID, reference: str, received: Money) -> None:
        """Take in a payment from the provider, however late; one that nothing waits for is announced as stray, once."""
        invoice = await self.invoices.load(invoice_id, locked=True)
        if invoice.payment == reference:
            return
        if (invoice.status, "pay") in INVOICE_MOVES and received == invoice.total:
            await self._pay(invoice, reference)
        else:
            await self._stray(invoice_id, reference, received)

    async def failed(self, invoice_id: uuid.UUID, key: str, reason: str) -> None:
        """Take in that an attempt failed, unless it is known how that one ended."""
        before = await self.invoices.load(invoice_id, locked=True)
        if before.pending != key:
            return
        after = before.failed(reason, settings.billing.retry_days, utcnow())
        await self.invoices.save(after)
        await announce(self.ctx, InvoiceUnpaid, before, after)
        over = after.status is InvoiceStatus.uncollectible
        await self.subscriptions.follow(after.subscription_id, "cancel" if over else "miss")

    async def _stray(self, invoice_id: uuid.UUID, reference: str, received: Money) -> None:
        """Announce a payment that nothing waits for, once: the provider's answer and its events all tell of it."""
        self.ctx.quiet("a payment that was announced as stray is only looked up")
        if await self.ledger.is_new(reference, PaymentStray.action):
            await self.ctx.emit(PaymentStray(object_id=invoice_id, reference=reference, **received.model_dump()))

    async def _pay(self, before: Invoice, reference: str) -> None:
        """Note that an invoice is paid; its subscription catches up."""
        after = before.paid(reference, utcnow())
        await self.invoices.save(after)
        await announce(self.ctx, InvoicePaid, before, after)
        await self.subscriptions.settle(after.subscription_id)
