"""Invoices, from the draft to their number."""

import uuid

from app.core.context import Context
from app.modules.billing.builders import collect_at, priced
from app.modules.billing.events import InvoiceDrafted, InvoiceIssued
from app.modules.billing.models import Customer, Invoice, Line
from app.modules.billing.repository import CustomerRepository, InvoiceRepository, LedgerRepository
from app.modules.billing.schemas import InvoiceCreate, InvoiceDetail, InvoiceQuery, InvoiceResponse
from app.modules.billing.services.announcing import announce
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page


class InvoiceService:
    """The invoices of the context's tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.ledger = ctx, LedgerRepository(ctx)
        self.invoices, self.customers = InvoiceRepository(ctx.session), CustomerRepository(ctx.session)

    async def draft(self, data: InvoiceCreate) -> InvoiceDetail:
        """Write an invoice that nobody owes yet; raises `CustomerNotFoundError`."""
        customer = await self.customers.load(data.customer_id)
        lines = [Line.model_validate(line.model_dump()) for line in data.lines]
        if customer.tax_exempt:
            lines = [line.but(tax_rate=0) for line in lines]
        invoice = Invoice(
            id=uuid7(), customer_id=customer.id, currency=data.currency, lines=priced(lines, data.discount)
        )
        await self.add(invoice)
        return await self.invoices.show(invoice.id)

    async def add(self, draft: Invoice) -> None:
        """Keep a draft; raises `PeriodBilledError` for a second one of a period."""
        await self.invoices.insert(draft)
        await announce(self.ctx, InvoiceDrafted, None, draft)

    async def list(self, query: InvoiceQuery) -> Page[InvoiceResponse]:
        """Return one page of invoices."""
        return await self.invoices.list(query)

    async def get(self, invoice_id: uuid.UUID) -> InvoiceDetail:
        """Return one invoice; raises `InvoiceNotFoundError`."""
        return await self.invoices.show(invoice_id)

    async def finalise(self, invoice_id: uuid.UUID) -> InvoiceDetail:
        """Issue a draft; raises `IllegalMoveError` for what is none."""
        draft = await self.invoices.load(invoice_id, locked=True)
        await self.issue(draft, await self.customers.load(draft.customer_id))
        return await self.invoices.show(invoice_id)

    async def issue(self, draft: Invoice, customer: Customer) -> None:
        """Give a draft its number. Nothing of it changes from now on but how its payment stands."""
        now = utcnow()
        draft.moved("finalise")
        invoice = draft.issued(await self.ledger.next_number(), now, collect_at(customer, now))
        await self.invoices.save(invoice)
        await announce(self.ctx, InvoiceIssued, draft, invoice)
