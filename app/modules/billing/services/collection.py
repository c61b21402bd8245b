"""How an invoice is collected: begun and committed, sent to the provider, and written down as it ended."""

import uuid

from app.core.context import Context
from app.db.exceptions import TenantViolationError
from app.modules.billing.events import CustomerUpdated, InvoicePending
from app.modules.billing.exceptions import AttemptForgottenError, PaymentMethodDeclinedError
from app.modules.billing.interfaces import Charge, Outcome, PaymentProvider, Receipt
from app.modules.billing.models import Customer, Invoice
from app.modules.billing.repository import CustomerRepository, InvoiceRepository
from app.modules.billing.services.announcing import announce
from app.modules.billing.services.payments import PaymentService
from app.utils.helpers import utcnow

NO_METHOD = Receipt(outcome=Outcome.declined, reason="There is no payment method.")


class CollectionService:
    """Collect invoices, each attempt once, whatever is killed; for a unit of work that carries out an entry.

    An attempt begins in a transaction of its own, which gives it a key and keeps the invoice from being voided. No
    connection waits for the provider. Who comes after a crash finds the attempt under way, and sends it with the same
    key and payment method; after a day, when the key is forgotten, nobody does.
    """

    def __init__(self, ctx: Context, provider: PaymentProvider) -> None:
        if ctx.tenant_id is None:
            raise TenantViolationError("invoices are collected inside their tenant")
        self.ctx, self.tenant_id, self.provider = ctx, ctx.tenant_id, provider

    async def collect(self, invoice_id: uuid.UUID) -> None:
        """Make the attempt that is due, or go on with the one under way; nothing where there is neither.

        Raises `ProviderUnavailableError` and `ProviderRefusedError`, and leaves the attempt under way.
        """
        begun = await self._begin(invoice_id)
        if begun is None:
            return
        invoice, customer = begun
        receipt = await self._ask(invoice, customer) if customer.payment_method else NO_METHOD
        await self._end(invoice, receipt)

    async def _begin(self, invoice_id: uuid.UUID) -> tuple[Invoice, Customer] | None:
        """Return the invoice with an attempt under way, committed, and whom it charges."""
        async with self.ctx.separate() as first:
            invoices, now = InvoiceRepository(first.session), utcnow()
            invoice = await invoices.load(invoice_id, locked=True)
            customer = await CustomerRepository(first.session).load(invoice.customer_id)
            if invoice.is_due(now):
                before, invoice = invoice, invoice.attempted(customer.payment_method, now)
                await invoices.save(invoice)
                await announce(first, InvoicePending, before, invoice)
            elif invoice.pending is None:
                return None
            elif invoice.is_forgotten(now):
                raise AttemptForgottenError
            return invoice, customer.paying_by(invoice.payment_method or customer.payment_method)

    async def _ask(self, invoice: Invoice, customer: Customer) -> Receipt:
        """Return what the provider says, which a customer whom it does not know has to meet first."""
        try:
            provider_id = customer.provider_id or await self._enrol(customer)
        except PaymentMethodDeclinedError as error:
            return Receipt(outcome=Outcome.declined, reason=error.detail)
        return await self.provider.charge(self._charge(invoice, customer.but(provider_id=provider_id)))

    async def _enrol(self, customer: Customer) -> str:
        """Return what the provider calls a customer, kept whatever comes next: it attaches a payment method once."""
        provider_id = await self.provider.enrol(self.tenant_id, customer)
        async with self.ctx.separate() as beside:
            customers = CustomerRepository(beside.session)
            before = await customers.load(customer.id, locked=True)
            after = before.met_as(provider_id, customer.payment_method or "")
            await customers.save(after)
            await announce(beside, CustomerUpdated, before, after)
        return provider_id

    def _charge(self, invoice: Invoice, customer: Customer) -> Charge:
        """Return what is asked of the provider."""
        return Charge(
            tenant_id=self.tenant_id,
            invoice_id=invoice.id,
            attempt=invoice.attempts,
            amount=invoice.total,
            customer=customer.provider_id or "",
            payment_method=customer.payment_method or "",
        )

    async def _end(self, invoice: Invoice, receipt: Receipt) -> None:
        """Write down how the attempt ended; of one that is not decided yet the webhook tells."""
        payments = PaymentService(self.ctx)
        if receipt.outcome is Outcome.succeeded:
            await payments.succeeded(invoice.id, receipt.reference, invoice.total)
        elif receipt.outcome is Outcome.declined:
            await payments.failed(invoice.id, invoice.pending or "", receipt.reason)
