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

    The discount is split among the rates first, by what is charged at each, the lowest of equals first; tax is computed
    once a rate, halves up, on what is left of it. Lines get their parts of both by largest remainder. So what the lines
    show adds up to what the invoice shows, and neither their order nor splitting one in two changes a sum of a rate.
    """
    places: dict[int, list[int]] = defaultdict(list)
    for place, line in enumerate(lines):
        places[line.tax_rate].append(place)
    rates, found = sorted(places), list(lines)
    charged = [sum(lines[place].gross for place in places[rate]) for rate in rates]
    for rate, part in zip(rates, allocate(share(sum(charged), discount), charged), strict=True):
        of_rate = of_one_rate([lines[place] for place in places[rate]], part, rate)
        for place, line in zip(places[rate], of_rate, strict=True):
            found[place] = line
    return tuple(found)


def of_one_rate(lines: Sequence[Line], discount: int, rate: int) -> list[Line]:
    """Return the lines of a rate with their parts of its discount, in minor units, and of its tax."""
    discounts = allocate(discount, [line.gross for line in lines])
    lines = [line.but(discount=part) for line, part in zip(lines, discounts, strict=True)]
    nets = [line.net for line in lines]
    return [line.but(tax=part) for line, part in zip(lines, allocate(share(sum(nets), rate), nets), strict=True)]


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
