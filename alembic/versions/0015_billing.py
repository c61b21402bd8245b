"""Billing: plans, customers, subscriptions, invoices that stay as they were issued, and their numbers.

Revision: 0015; after: 0014a.
"""

import datetime as dt
from typing import Any

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0015"
down_revision = "0014a"
branch_labels = None
depends_on = None

TABLES = (
    "billing_plans",
    "billing_customers",
    "billing_subscriptions",
    "billing_invoices",
    "billing_invoice_lines",
    "billing_counters",
    "billing_events",
)

# A deleted tenant's rows are purged, with all else it had. Names are spelled out: whose search_path it is, is open.
KEEP_INVOICE = """
    create function billing_keep_invoice() returns trigger language plpgsql as $$ begin
        if tg_op = 'DELETE' then
            if old.number is not null
                and not exists (select from public.tenants t where t.id = old.tenant_id and t.deleted_at is not null)
            then
                raise exception 'an invoice that was issued is not deleted' using errcode = 'check_violation';
            end if;
            return old;
        end if;
        if old.number is not null and (
            (new.tenant_id, new.id, new.customer_id, new.subscription_id, new.period_start, new.period_end,
                new.currency, new.net, new.tax, new.number, new.issued_at)
            is distinct from
            (old.tenant_id, old.id, old.customer_id, old.subscription_id, old.period_start, old.period_end,
                old.currency, old.net, old.tax, old.number, old.issued_at)
            or new.status = 'draft'
        ) then
            raise exception 'an invoice that was issued is not changed' using errcode = 'check_violation';
        end if;
        return new;
    end $$
"""
KEEP_LINE = """
    create function billing_keep_line() returns trigger language plpgsql as $$
    declare line public.billing_invoice_lines := case when tg_op = 'INSERT' then new else old end;
    begin
        if exists (select from public.billing_invoices i where i.tenant_id = line.tenant_id and i.id = line.invoice_id
                and i.number is not null)
            and not (tg_op = 'DELETE' and exists (
                select from public.tenants t where t.id = line.tenant_id and t.deleted_at is not null))
        then
            raise exception 'the lines of an invoice that was issued stay' using errcode = 'check_violation';
        end if;
        return case when tg_op = 'DELETE' then old else new end;
    end $$
"""


def upgrade() -> None:
    """Make the tables, close them, and keep what was issued."""
    catalogue()
    invoices()
    own_table("billing_counters", sa.Column("last", sa.Integer(), nullable=False), sa.UniqueConstraint("tenant_id"))
    own_table(
        "billing_events",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        moment("received_at", server_default=sa.text("now()"), nullable=False),
        sa.UniqueConstraint("tenant_id", "event_id"),
    )
    for name in TABLES:
        for statement in secure(name):
            op.execute(statement)
    op.execute(KEEP_INVOICE)
    op.execute(KEEP_LINE)
    op.execute(
        "create trigger billing_keep_invoice before update or delete on billing_invoices"
        " for each row execute function billing_keep_invoice()"
    )
    op.execute(
        "create trigger billing_keep_line before insert or update or delete on billing_invoice_lines"
        " for each row execute function billing_keep_line()"
    )


def catalogue() -> None:
    """Make plans, customers and subscriptions."""
    own_table(
        "billing_plans",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("amount", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("interval", sa.String(), nullable=False),
        sa.Column("tax_rate", sa.Integer(), nullable=False),
        sa.Column("trial_days", sa.Integer(), nullable=False),
        sa.Column("archived", sa.Boolean(), server_default="false", nullable=False),
        *timestamps(),
    )
    own_table(
        "billing_customers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("tax_exempt", sa.Boolean(), nullable=False),
        sa.Column("payment_method", sa.String(), nullable=True),
        sa.Column("provider_id", sa.String(), nullable=True),
        *timestamps(),
    )
    own_table(
        "billing_subscriptions",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("plan_id", sa.Uuid(), nullable=False),
        sa.Column("status", sa.String(), server_default="cancelled", nullable=False),
        sa.Column("discount", sa.Integer(), nullable=False),
        moment("anchor", nullable=False),
        sa.Column("billed", sa.Integer(), nullable=False),
        moment("due_at"),
        *timestamps(),
        parent("customer_id", "billing_customers"),
        parent("plan_id", "billing_plans"),
        sa.CheckConstraint("status in ('trialing', 'active', 'past_due', 'paused', 'cancelled')", name="status"),
    )
    op.create_index("ix_billing_subscriptions_due_at", "billing_subscriptions", ["tenant_id", "due_at"])
    for name in ("billing_plans", "billing_customers", "billing_subscriptions"):
        op.create_index(f"ix_{name}_created_at", name, ["tenant_id", "created_at", "id"])


def invoices() -> None:
    """Make invoices and their lines."""
    own_table(
        "billing_invoices",
        sa.Column("customer_id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=True),
        moment("period_start"),
        moment("period_end"),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("net", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(), server_default="draft", nullable=False),
        sa.Column("number", sa.Integer(), nullable=True),
        moment("issued_at"),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        moment("attempted_at"),
        moment("retry_at"),
        *(sa.Column(name, sa.String(), nullable=True) for name in ("pending", "failure", "payment")),
        moment("paid_at"),
        *timestamps(),
        parent("customer_id", "billing_customers"),
        parent("subscription_id", "billing_subscriptions"),
        sa.UniqueConstraint("tenant_id", "subscription_id", "period_start", name="uq_billing_invoices_period"),
        sa.UniqueConstraint("tenant_id", "number", name="uq_billing_invoices_number"),
        sa.CheckConstraint("status in ('draft', 'open', 'paid', 'void', 'uncollectible')", name="status"),
        sa.CheckConstraint("(number is null) = (issued_at is null)", name="number"),
        sa.CheckConstraint("number is not null or status in ('draft', 'void')", name="issued"),
    )
    op.create_index("ix_billing_invoices_retry_at", "billing_invoices", ["tenant_id", "retry_at"])
    op.create_index("ix_billing_invoices_created_at", "billing_invoices", ["tenant_id", "created_at", "id"])
    own_table(
        "billing_invoice_lines",
        sa.Column("invoice_id", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("unit_amount", sa.BigInteger(), nullable=False),
        sa.Column("tax_rate", sa.Integer(), nullable=False),
        sa.Column("discount", sa.BigInteger(), nullable=False),
        sa.Column("tax", sa.BigInteger(), nullable=False),
        parent("invoice_id", "billing_invoices"),
        sa.UniqueConstraint("tenant_id", "invoice_id", "place"),
    )


def own_table(name: str, *rest: "sa.Column[Any] | sa.Constraint") -> None:
    """Make a table of tenants."""
    op.create_table(
        name,
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *rest,
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )


def parent(column: str, table: str) -> sa.ForeignKeyConstraint:
    """Return the key to a row of the same tenant."""
    return sa.ForeignKeyConstraint(["tenant_id", column], [f"{table}.tenant_id", f"{table}.id"], ondelete="RESTRICT")


def moment(name: str, **options: Any) -> "sa.Column[dt.datetime]":
    """Return a column of moments."""
    return sa.Column(name, sa.DateTime(timezone=True), **options)


def timestamps() -> "list[sa.Column[dt.datetime]]":
    """Return when a row was made and changed."""
    return [moment(name, server_default=sa.text("now()"), nullable=False) for name in ("created_at", "updated_at")]


def downgrade() -> None:
    """Drop everything."""
    for name in reversed(TABLES):
        op.drop_table(name)
    for name in ("billing_keep_line", "billing_keep_invoice"):
        op.execute(f"drop function {name}()")
