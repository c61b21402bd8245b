"""Rows to entities, and back."""

from collections.abc import Collection, Sequence
from typing import Any

from app.modules.billing.models import Currency, Customer, Entity, Invoice, Line, Money, Plan, Subscription
from app.modules.billing.orm import CustomerRow, InvoiceRow, LineRow, PlanRow, SubscriptionRow

Snapshot = dict[str, Any]


def plan_of(row: PlanRow) -> Plan:
    """Return the plan of a row."""
    price = Money(amount=row.amount, currency=Currency(row.currency))
    return Plan.model_validate({**named(row, Plan, but={"price"}), "price": price})


def plan_columns(plan: Plan) -> Snapshot:
    """Return the values of its row."""
    return {**plan.model_dump(exclude={"price"}), **plan.price.model_dump()}


def customer_of(row: CustomerRow) -> Customer:
    """Return the customer of a row."""
    return Customer.model_validate(named(row, Customer))


def subscription_of(row: SubscriptionRow) -> Subscription:
    """Return the subscription of a row."""
    return Subscription.model_validate(named(row, Subscription))


def invoice_of(row: InvoiceRow, lines: Sequence[LineRow]) -> Invoice:
    """Return the invoice of a row and of those of its lines, in their order."""
    found = [Line.model_validate(named(line, Line)) for line in lines]
    return Invoice.model_validate({**named(row, Invoice, but={"lines"}), "lines": found})


def invoice_columns(invoice: Invoice) -> Snapshot:
    """Return the values of its row, with the sums that lists show."""
    return {**invoice.model_dump(exclude={"lines"}), "net": invoice.net, "tax": invoice.tax}


def line_columns(invoice: Invoice) -> list[Snapshot]:
    """Return the values of the rows of its lines."""
    return [{**line.model_dump(), "invoice_id": invoice.id, "place": at} for at, line in enumerate(invoice.lines, 1)]


def named(row: Any, entity: type[Entity], but: Collection[str] = ()) -> Snapshot:
    """Return the values of a row that an entity calls by the same names."""
    return {name: getattr(row, name) for name in entity.model_fields if name not in but}


def differences(before: Entity | None, after: Entity) -> tuple[Snapshot | None, Snapshot]:
    """Return what changed from one state of an entity to the next, as it was and as it is, for the audit."""
    new = after.model_dump(mode="json")
    if before is None:
        return None, new
    old = before.model_dump(mode="json")
    changed = [name for name in new if new[name] != old[name]]
    return {name: old[name] for name in changed}, {name: new[name] for name in changed}
