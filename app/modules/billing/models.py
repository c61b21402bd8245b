"""The entities of billing and their rules: values that nobody can change, and the moves that lead to the next one.

They know no table, no HTTP and no clock: whoever calls says when it is.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict

from app.modules.billing.exceptions import IllegalMoveError, PaymentPendingError
from app.modules.billing.utils import boundary


class Currency(StrEnum):
    """ISO 4217, as far as Stripe counts in the same minor units."""

    EUR = "EUR"
    USD = "USD"
    GBP = "GBP"
    CHF = "CHF"
    BRL = "BRL"
    CAD = "CAD"
    JPY = "JPY"
    SEK = "SEK"

    @property
    def exponent(self) -> int:
        """Return how many decimals the minor unit stands for."""
        return 0 if self is Currency.JPY else 2


class Interval(StrEnum):
    """How long a period of a plan is."""

    month = "month"
    year = "year"

    @property
    def months(self) -> int:
        """Return its length."""
        return 1 if self is Interval.month else 12


class SubscriptionStatus(StrEnum):
    """Where a subscription stands."""

    trialing = "trialing"
    active = "active"
    past_due = "past_due"
    paused = "paused"
    cancelled = "cancelled"


class InvoiceStatus(StrEnum):
    """Where an invoice stands."""

    draft = "draft"
    open = "open"
    paid = "paid"
    void = "void"
    uncollectible = "uncollectible"


SUBSCRIPTION_MOVES: dict[tuple[SubscriptionStatus, str], SubscriptionStatus] = {
    (SubscriptionStatus.trialing, "renew"): SubscriptionStatus.active,
    (SubscriptionStatus.trialing, "cancel"): SubscriptionStatus.cancelled,
    (SubscriptionStatus.active, "renew"): SubscriptionStatus.active,
    (SubscriptionStatus.active, "miss"): SubscriptionStatus.past_due,
    (SubscriptionStatus.active, "pause"): SubscriptionStatus.paused,
    (SubscriptionStatus.active, "cancel"): SubscriptionStatus.cancelled,
    (SubscriptionStatus.past_due, "settle"): SubscriptionStatus.active,
    (SubscriptionStatus.past_due, "cancel"): SubscriptionStatus.cancelled,
    (SubscriptionStatus.paused, "resume"): SubscriptionStatus.active,
    (SubscriptionStatus.paused, "cancel"): SubscriptionStatus.cancelled,
}
"""Which move leads where; what is not here is refused."""

INVOICE_MOVES: dict[tuple[InvoiceStatus, str], InvoiceStatus] = {
    (InvoiceStatus.draft, "finalise"): InvoiceStatus.open,
    (InvoiceStatus.draft, "void"): InvoiceStatus.void,
    (InvoiceStatus.open, "collect"): InvoiceStatus.open,
    (InvoiceStatus.open, "pay"): InvoiceStatus.paid,
    (InvoiceStatus.open, "void"): InvoiceStatus.void,
    (InvoiceStatus.open, "write off"): InvoiceStatus.uncollectible,
    (InvoiceStatus.uncollectible, "pay"): InvoiceStatus.paid,
}
"""The same of invoices. A draft that is voided never had a number."""


LIFE_OF_A_KEY = dt.timedelta(hours=20)
"""How long the payment provider knows an attempt again, with some hours to spare."""

LONGEST_ATTEMPT = dt.timedelta(hours=1)
"""After how long nobody works on an attempt any more: its task has ended, or is dead after all its retries."""


class Entity(BaseModel):
    """Parent of the entities."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def but(self, **changes: object) -> Self:
        """Return the entity with other values, checked."""
        return type(self).model_validate({**dict(self), **changes})


class Identified(Entity):
    """Parent of those that are the same one, however they change."""

    id: uuid.UUID


class Money(Entity):
    """An amount in minor units of its currency."""

    amount: int
    currency: Currency

    def __str__(self) -> str:
        places = self.currency.exponent
        digits = str(self.amount).rjust(places + 1, "0")
        return f"{digits[:-places]}.{digits[-places:]} {self.currency}" if places else f"{digits} {self.currency}"


class Plan(Identified):
    """What can be subscribed to; `tax_rate` is in basis points and comes on top of the price."""

    name: str
    price: Money
    interval: Interval
    tax_rate: int
    trial_days: int
    archived: bool = False


class Customer(Identified):
    """Who is billed; `provider_id` is what the payment provider calls them, once it knows them by their method.

    It attaches a method to one customer of its own, for good: `enrolled` says which, of every method they ever had.
    """

    name: str
    email: str
    country: str
    tax_exempt: bool
    payment_method: str | None = None
    provider_id: str | None = None
    enrolled: dict[str, str] = {}

    def paying_by(self, method: str | None) -> Self:
        """Return the customer with this payment method, as the provider knows them by it, if it does."""
        if method == self.payment_method:
            return self
        kept = self.met_as(self.provider_id, self.payment_method) if self.provider_id and self.payment_method else self
        return kept.but(payment_method=method, provider_id=kept.enrolled.get(method or ""))

    def met_as(self, provider_id: str, method: str) -> Self:
        """Return the customer after the provider has met them by a method, which need not be theirs any more."""
        current = provider_id if method == self.payment_method else self.provider_id
        return self.but(enrolled={**self.enrolled, method: provider_id}, provider_id=current)


class Subscription(Identified):
    """A customer's agreement to a plan. `billed` periods since the `anchor` have their invoice.

    `due_at` is when the next one begins, which nothing says of a subscription that rests or is over.
    """

    customer_id: uuid.UUID
    plan_id: uuid.UUID
    status: SubscriptionStatus
    discount: int
    anchor: dt.datetime
    billed: int = 0
    due_at: dt.datetime | None

    def moved(self, move: str, **changes: object) -> Self:
        """Return the subscription after a move; raises `IllegalMoveError`."""
        target = SUBSCRIPTION_MOVES.get((self.status, move))
        if target is None:
            raise IllegalMoveError(f"A subscription that is {self.status} cannot {move}.")
        resting = target in {SubscriptionStatus.paused, SubscriptionStatus.cancelled}
        return self.but(status=target, **({"due_at": None} if resting else {}), **changes)

    def period(self, interval: Interval) -> tuple[dt.datetime, dt.datetime]:
        """Return the period that is billed next."""
        months = interval.months
        return boundary(self.anchor, self.billed * months), boundary(self.anchor, (self.billed + 1) * months)

    def is_due(self, now: dt.datetime) -> bool:
        """Tell whether a period has begun that has no invoice; a customer who owes gets no further one."""
        billable = (self.status, "renew") in SUBSCRIPTION_MOVES
        return billable and self.due_at is not None and self.due_at <= now

    def renewed(self, interval: Interval) -> Self:
        """Return the subscription after its next period was billed."""
        _, end = self.period(interval)
        return self.moved("renew", billed=self.billed + 1, due_at=end)

    def resumed(self, interval: Interval, now: dt.datetime) -> Self:
        """Return the subscription after its rest: what was paid for counts on, the rest itself costs nothing."""
        start, _ = self.period(interval)
        anew = {"anchor": now, "billed": 0, "due_at": now} if start < now else {"due_at": start}
        return self.moved("resume", **anew)


class Line(Entity):
    """A line of an invoice; `discount` and `tax` are its parts of the invoice's, `tax_rate` is in basis points."""

    description: str
    quantity: int
    unit_amount: int
    tax_rate: int
    discount: int = 0
    tax: int = 0

    @property
    def gross(self) -> int:
        """Return what it costs before discount and tax."""
        return self.quantity * self.unit_amount

    @property
    def net(self) -> int:
        """Return what it costs before tax."""
        return self.gross - self.discount


class Invoice(Identified):
    """What a customer owes. Nothing that was issued changes any more, but for how its payment stands.

    `attempts` counts the attempts to collect it, the last one begun at `attempted_at`, the next one due at `retry_at`.
    `pending` is the key of one that has not ended, `payment_method` what the last one charges, whatever the customer
    changes meanwhile: it may be paid already, and its key is not good for another.
    """

    customer_id: uuid.UUID
    currency: Currency
    lines: tuple[Line, ...]
    subscription_id: uuid.UUID | None = None
    period_start: dt.datetime | None = None
    period_end: dt.datetime | None = None
    status: InvoiceStatus = InvoiceStatus.draft
    number: int | None = None
    issued_at: dt.datetime | None = None
    attempts: int = 0
    attempted_at: dt.datetime | None = None
    retry_at: dt.datetime | None = None
    pending: str | None = None
    payment_method: str | None = None
    failure: str | None = None
    payment: str | None = None
    paid_at: dt.datetime | None = None

    @property
    def net(self) -> int:
        """Return the sum before tax."""
        return sum(line.net for line in self.lines)

    @property
    def tax(self) -> int:
        """Return the tax."""
        return sum(line.tax for line in self.lines)

    @property
    def total(self) -> Money:
        """Return what is owed."""
        return Money(amount=self.net + self.tax, currency=self.currency)

    @property
    def title(self) -> str:
        """Return what people call it."""
        return f"Invoice {self.number:06d}" if self.number else "Draft"

    def moved(self, move: str, **changes: object) -> Self:
        """Return the invoice after a move; raises `IllegalMoveError`."""
        target = INVOICE_MOVES.get((self.status, move))
        if target is None:
            raise IllegalMoveError(f"You cannot {move} an invoice that is {self.status}.")
        return self.but(status=target, **changes)

    def issued(self, number: int, now: dt.datetime, collect_at: dt.datetime) -> Self:
        """Return the invoice with its number, open, or paid where nothing is owed."""
        invoice = self.moved("finalise", number=number, issued_at=now, retry_at=collect_at)
        return invoice if invoice.total.amount else invoice.paid("nothing owed", now)

    def paid(self, reference: str, now: dt.datetime) -> Self:
        """Return the invoice after its payment."""
        return self.moved("pay", payment=reference, paid_at=now, pending=None, failure=None, retry_at=None)

    def is_due(self, now: dt.datetime) -> bool:
        """Tell whether an attempt to collect it is to begin."""
        return self.status is InvoiceStatus.open and self.retry_at is not None and self.retry_at <= now

    def attempted(self, method: str | None, now: dt.datetime) -> Self:
        """Return the invoice with an attempt under way, whose key names it whatever happens meanwhile."""
        attempts = self.attempts + 1
        changes = {"attempts": attempts, "attempted_at": now, "pending": f"{self.id}:{attempts}"}
        return self.moved("collect", retry_at=None, payment_method=method, **changes)

    def is_forgotten(self, now: dt.datetime) -> bool:
        """Tell whether an attempt is so old that its key no longer keeps it from being made twice."""
        return self.attempted_at is not None and now - self.attempted_at > LIFE_OF_A_KEY

    def voided(self, now: dt.datetime) -> Self:
        """Return the invoice after it was withdrawn; raises `PaymentPendingError` while it may still be paid."""
        if self.pending and not self.is_forgotten(now):
            raise PaymentPendingError
        return self.moved("void", retry_at=None, pending=None, failure=None)

    def failed(self, reason: str, days: Sequence[int], now: dt.datetime) -> Self:
        """Return the invoice after an attempt that failed: due again by the schedule, or written off at its end."""
        if self.attempts > len(days):
            return self.moved("write off", failure=reason, pending=None)
        again = now + dt.timedelta(days=days[self.attempts - 1])
        return self.moved("collect", failure=reason, pending=None, retry_at=again)
