"""The API's view of billing. Amounts are minor units of their currency; rates and discounts are basis points."""

import datetime as dt
import uuid
from typing import Annotated

from pydantic import Field, StrictBool, StringConstraints, computed_field

from app.modules.billing.models import Currency, Interval, InvoiceStatus, SubscriptionStatus
from app.users.schemas import EmailAddress
from app.utils.schemas import BaseSchema, InputSchema, Name, PageQuery, PatchSchema, Unset

Amount = Annotated[int, Field(strict=True, ge=0, le=10_000_000_000)]
"""So much that no invoice is beyond what JSON's readers take for a whole number: a hundred lines of a thousand each."""

BasisPoints = Annotated[int, Field(strict=True, ge=0, le=10_000)]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$"), Field(examples=["DE"])]
PaymentMethod = Annotated[str, StringConstraints(pattern=r"^pm_[A-Za-z0-9_]{1,100}$"), Field(examples=["pm_card_visa"])]


class PlanCreate(InputSchema):
    """What a new plan needs; `tax_rate` comes on top of the amount."""

    name: Name
    amount: Amount
    currency: Currency
    interval: Interval = Interval.month
    tax_rate: BasisPoints = 0
    trial_days: Annotated[int, Field(strict=True, ge=0, le=365)] = 0


class PlanResponse(BaseSchema):
    """A plan."""

    id: uuid.UUID
    name: str
    amount: int
    currency: Currency
    interval: Interval
    tax_rate: int
    trial_days: int
    archived: bool
    created_at: dt.datetime


class CustomerCreate(InputSchema):
    """What a new customer needs; `payment_method` is the provider's name of what the customer left there."""

    name: Name
    email: EmailAddress
    country: Country
    tax_exempt: StrictBool = False
    payment_method: PaymentMethod | None = None


class CustomerUpdate(PatchSchema):
    """What can be changed; fields that are left out stay as they are."""

    name: Name | Unset = None
    email: EmailAddress | Unset = None
    country: Country | Unset = None
    tax_exempt: StrictBool | Unset = None
    payment_method: PaymentMethod | Unset = None


class CustomerResponse(BaseSchema):
    """A customer."""

    id: uuid.UUID
    name: str
    email: str
    country: str
    tax_exempt: bool
    payment_method: str | None
    created_at: dt.datetime


class SubscriptionCreate(InputSchema):
    """Who subscribes to what."""

    customer_id: uuid.UUID
    plan_id: uuid.UUID
    discount: BasisPoints = 0


class SubscriptionQuery(PageQuery):
    """Which subscriptions a list shows, newest first."""

    customer_id: uuid.UUID | None = None
    status: SubscriptionStatus | None = None


class SubscriptionResponse(BaseSchema):
    """A subscription; at `due_at` its next period begins and is billed."""

    id: uuid.UUID
    customer_id: uuid.UUID
    plan_id: uuid.UUID
    status: SubscriptionStatus
    discount: int
    anchor: dt.datetime
    billed: int
    due_at: dt.datetime | None
    created_at: dt.datetime


class LineCreate(InputSchema):
    """A line of a new invoice."""

    description: Name
    quantity: Annotated[int, Field(strict=True, ge=1, le=1000)] = 1
    unit_amount: Amount
    tax_rate: BasisPoints = 0


class InvoiceCreate(InputSchema):
    """What an invoice by hand needs; it stays a draft until it is finalised."""

    customer_id: uuid.UUID
    currency: Currency
    lines: Annotated[list[LineCreate], Field(min_length=1, max_length=100)]
    discount: BasisPoints = 0


class PaymentCreate(InputSchema):
    """What is known of a payment that came another way, such as a bank transfer."""

    reference: Name


class InvoiceQuery(PageQuery):
    """Which invoices a list shows, newest first."""

    customer_id: uuid.UUID | None = None
    subscription_id: uuid.UUID | None = None
    status: InvoiceStatus | None = None


class InvoiceResponse(BaseSchema):
    """An invoice; drafts have no number. `retry_at` is when it is collected next."""

    id: uuid.UUID
    number: int | None
    status: InvoiceStatus
    customer_id: uuid.UUID
    subscription_id: uuid.UUID | None
    period_start: dt.datetime | None
    period_end: dt.datetime | None
    currency: Currency
    net: int
    tax: int
    issued_at: dt.datetime | None
    attempts: int
    retry_at: dt.datetime | None
    failure: str | None
    payment: str | None
    paid_at: dt.datetime | None
    created_at: dt.datetime

    @computed_field  # type: ignore[prop-decorator] # pydantic's way, which mypy does not know
    @property
    def total(self) -> int:
        """Return what is owed."""
        return self.net + self.tax


class LineResponse(BaseSchema):
    """A line of an invoice, with its parts of the invoice's discount and tax."""

    description: str
    quantity: int
    unit_amount: int
    discount: int
    tax_rate: int
    tax: int


class InvoiceDetail(InvoiceResponse):
    """An invoice with its lines."""

    lines: list[LineResponse]
