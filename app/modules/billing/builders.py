"""How invoices are put together, and the mails that go with them."""

import datetime as dt
from collections import defaultdict
from collections.abc import Sequence

from app.config import settings
from app.modules.billing.mails import ReminderLetter
from app.modules.billing.models import Customer, Invoice, Line, Plan, Subscription
from app.modules.billing.utils import allocate, share
from app.utils.helpers import uuid7


def priced(lines: Sequence[Line], discount: int) -> tuple[Line, ...]:
    """Return the lines with their parts of the discount, in basis points of the whole, and of the tax.

    Tax is computed once a rate, on the sum of its lines, halves up; lines get their parts by largest remainder. So
    what the lines show adds up to what the invoice shows, and splitting a line in two changes no sum.
    """
    discounts = allocate(share(sum(line.gross for line in lines), discount), [line.gross for line in lines])
    lines = [line.but(discount=part) for line, part in zip(lines, discounts, strict=True)]
    by_rate: dict[int, list[int]] = defaultdict(list)
    for place, line in enumerate(lines):
        by_rate[line.tax_rate].append(place)
    for rate, places in by_rate.items():
        nets = [lines[place].net for place in places]
        for place, tax in zip(places, allocate(share(sum(nets), rate), nets), strict=True):
            lines[place] = lines[place].but(tax=tax)
    return tuple(lines)


def invoice_of_period(subscription: Subscription, plan: Plan, customer: Customer) -> Invoice:
    """Return the draft for the subscription's next period."""
    start, end = subscription.period(plan.interval)
    line = Line(
        description=f"{plan.name}, {start:%Y-%m-%d} to {end:%Y-%m-%d}",
        quantity=1,
        unit_amount=plan.price.amount,
        tax_rate=0 if customer.tax_exempt else plan.tax_rate,
    )
    return Invoice(
        id=uuid7(),
        customer_id=customer.id,
        currency=plan.price.currency,
        lines=priced([line], subscription.discount),
        subscription_id=subscription.id,
        period_start=start,
        period_end=end,
    )


def collect_at(customer: Customer, now: dt.datetime) -> dt.datetime:
    """Return when an invoice is collected first: at once by a payment method, else when its payment is due."""
    return now if customer.payment_method else now + dt.timedelta(days=settings.billing.due_days)


def reminder(invoice: Invoice, tenant: str) -> ReminderLetter:
    """Return what tells a customer of a payment that failed; without their name, which the tenant wrote."""
    return ReminderLetter(
        invoice=invoice.title,
        tenant=tenant,
        total=str(invoice.total),
        failure=str(invoice.failure),
        retry_on=f"{invoice.retry_at:%Y-%m-%d}" if invoice.retry_at else "",
    )
