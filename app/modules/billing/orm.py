"""The rows of billing. What they mean, the entities say; `adapters/rows.py` leads from one to the other."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Index, UniqueConstraint, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import TenantMixin, TimestampMixin, tenant_fk
from app.modules.billing.exceptions import PeriodBilledError


class PlanRow(TenantMixin, TimestampMixin, Base):
    """A plan; `amount` is in minor units."""

    __tablename__ = "billing_plans"
    name: Mapped[str]
    amount: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str]
    interval: Mapped[str]
    tax_rate: Mapped[int]
    trial_days: Mapped[int]
    archived: Mapped[bool] = mapped_column(server_default="false")
    __table_args__ = (Index("ix_billing_plans_created_at", "tenant_id", "created_at", "id"),)


class CustomerRow(TenantMixin, TimestampMixin, Base):
    """A customer."""

    __tablename__ = "billing_customers"
    name: Mapped[str]
    email: Mapped[str]
    country: Mapped[str]
    tax_exempt: Mapped[bool]
    payment_method: Mapped[str | None]
    provider_id: Mapped[str | None]
    enrolled: Mapped[dict[str, Any]] = mapped_column(server_default="{}")
    __table_args__ = (Index("ix_billing_customers_created_at", "tenant_id", "created_at", "id"),)


class SubscriptionRow(TenantMixin, TimestampMixin, Base):
    """A subscription."""

    __tablename__ = "billing_subscriptions"
    customer_id: Mapped[uuid.UUID]
    plan_id: Mapped[uuid.UUID]
    status: Mapped[str] = mapped_column(server_default="cancelled")
    discount: Mapped[int]
    anchor: Mapped[dt.datetime]
    billed: Mapped[int]
    due_at: Mapped[dt.datetime | None]
    __table_args__ = (
        tenant_fk("customer_id", "billing_customers"),
        tenant_fk("plan_id", "billing_plans"),
        CheckConstraint("status in ('trialing', 'active', 'past_due', 'paused', 'cancelled')", name="status"),
        Index("ix_billing_subscriptions_due_at", "tenant_id", "due_at"),
        Index("ix_billing_subscriptions_created_at", "tenant_id", "created_at", "id"),
    )


class InvoiceRow(TenantMixin, TimestampMixin, Base):
    """An invoice with its sums in minor units; a trigger keeps what was issued from being changed or deleted."""

    __tablename__ = "billing_invoices"
    customer_id: Mapped[uuid.UUID]
    subscription_id: Mapped[uuid.UUID | None]
    period_start: Mapped[dt.datetime | None]
    period_end: Mapped[dt.datetime | None]
    currency: Mapped[str]
    net: Mapped[int] = mapped_column(BigInteger)
    tax: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(server_default="draft")
    number: Mapped[int | None]
    issued_at: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(server_default="0")
    attempted_at: Mapped[dt.datetime | None]
    retry_at: Mapped[dt.datetime | None]
    pending: Mapped[str | None]
    payment_method: Mapped[str | None]
    failure: Mapped[str | None]
    payment: Mapped[str | None]
    paid_at: Mapped[dt.datetime | None]
    __table_args__ = (
        tenant_fk("customer_id", "billing_customers"),
        tenant_fk("subscription_id", "billing_subscriptions"),
        UniqueConstraint("tenant_id", "subscription_id", "period_start", name=PeriodBilledError.constraint),
        UniqueConstraint("tenant_id", "number", name="uq_billing_invoices_number"),
        CheckConstraint("status in ('draft', 'open', 'paid', 'void', 'uncollectible')", name="status"),
        CheckConstraint("(number is null) = (issued_at is null)", name="number"),
        CheckConstraint("number is not null or status in ('draft', 'void')", name="issued"),
        Index("ix_billing_invoices_retry_at", "tenant_id", "retry_at"),
        Index("ix_billing_invoices_pending", "tenant_id", "attempted_at", postgresql_where=text("pending is not null")),
        Index("ix_billing_invoices_created_at", "tenant_id", "created_at", "id"),
    )


class LineRow(TenantMixin, Base):
    """A line of an invoice, by its place."""

    __tablename__ = "billing_invoice_lines"
    invoice_id: Mapped[uuid.UUID]
    place: Mapped[int]
    description: Mapped[str]
    quantity: Mapped[int]
    unit_amount: Mapped[int] = mapped_column(BigInteger)
    tax_rate: Mapped[int]
    discount: Mapped[int] = mapped_column(BigInteger)
    tax: Mapped[int] = mapped_column(BigInteger)
    __table_args__ = (tenant_fk("invoice_id", "billing_invoices"), UniqueConstraint("tenant_id", "invoice_id", "place"))


class CounterRow(TenantMixin, Base):
    """The last number that a tenant gave to an invoice; one row a tenant, locked until the commit by who takes one."""

    __tablename__ = "billing_counters"
    last: Mapped[int]
    __table_args__ = (UniqueConstraint("tenant_id"),)


class EventRow(TenantMixin, Base):
    """An event of the payment provider that was taken in, or a payment that strayed, by the provider's name of it.

    It has its effect once, however often it is told.
    """

    __tablename__ = "billing_events"
    event_id: Mapped[str]
    kind: Mapped[str]
    received_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    __table_args__ = (UniqueConstraint("tenant_id", "event_id"),)
