"""The queries of billing: entities for those who change something, the API's view for those who only look."""

import datetime as dt
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import and_, func, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.core.context import Context
from app.db.repository import Repository, Row
from app.modules.billing.adapters.rows import (
    customer_of,
    invoice_columns,
    invoice_of,
    line_columns,
    plan_columns,
    plan_of,
    subscription_of,
)
from app.modules.billing.exceptions import (
    CustomerNotFoundError,
    InvoiceNotFoundError,
    PlanNotFoundError,
    SubscriptionNotFoundError,
)
from app.modules.billing.models import (
    INVOICE_MOVES,
    LIFE_OF_A_KEY,
    LONGEST_ATTEMPT,
    SUBSCRIPTION_MOVES,
    Customer,
    Identified,
    Invoice,
    InvoiceStatus,
    Plan,
    Subscription,
)
from app.modules.billing.orm import CounterRow, CustomerRow, EventRow, InvoiceRow, LineRow, PlanRow, SubscriptionRow
from app.modules.billing.schemas import (
    CustomerResponse,
    InvoiceDetail,
    InvoiceQuery,
    InvoiceResponse,
    LineResponse,
    PlanResponse,
    SubscriptionQuery,
    SubscriptionResponse,
)
from app.utils.helpers import uuid7
from app.utils.schemas import BaseSchema, Page, PageQuery

One = TypeVar("One", bound=Identified)
View = TypeVar("View", bound=BaseSchema)

NEWEST = "-created_at"
MOST_DUE = 500
"""Entries that one look at what is due returns: what is left waits for the next."""


class EntityRepository(Repository[Row], ABC, Generic[Row, One, View]):
    """Entities of one kind, and how the API shows them."""

    view: type[View]

    @abstractmethod
    async def entity_of(self, row: Row) -> One:
        """Return the entity of a row."""

    def columns_of(self, entity: One) -> Mapping[str, Any]:
        """Return the values of an entity's row."""
        return entity.model_dump()

    async def load(self, entity_id: uuid.UUID, *, locked: bool = False) -> One:
        """Return an entity; who is about to save it asks for the lock."""
        return await self.entity_of(await self.get(entity_id, locked=locked))

    async def insert(self, entity: One) -> None:
        """Write a new entity."""
        await self.add(self.model(**self.columns_of(entity)))

    async def save(self, entity: One) -> None:
        """Write what of an entity is not as it was."""
        row = await self.get(entity.id)
        for name, value in self.columns_of(entity).items():
            setattr(row, name, value)
        await self.session.flush()

    async def show(self, entity_id: uuid.UUID) -> View:
        """Return how the API shows it."""
        return self.view.model_validate(await self.get(entity_id))


class PlanRepository(EntityRepository[PlanRow, Plan, PlanResponse]):
    """Plans."""

    model, missing, view = PlanRow, PlanNotFoundError, PlanResponse

    async def entity_of(self, row: PlanRow) -> Plan:
        """Return the plan of a row."""
        return plan_of(row)

    def columns_of(self, entity: Plan) -> Mapping[str, Any]:
        """Return the values of its row."""
        return plan_columns(entity)

    async def list(self, query: PageQuery) -> Page[PlanResponse]:
        """Return one page."""
        return await self.page(query, self.select(), NEWEST, self.view)


class CustomerRepository(EntityRepository[CustomerRow, Customer, CustomerResponse]):
    """Customers."""

    model, missing, view = CustomerRow, CustomerNotFoundError, CustomerResponse

    async def entity_of(self, row: CustomerRow) -> Customer:
        """Return the customer of a row."""
        return customer_of(row)

    async def list(self, query: PageQuery) -> Page[CustomerResponse]:
        """Return one page."""
        return await self.page(query, self.select(), NEWEST, self.view)


class SubscriptionRepository(EntityRepository[SubscriptionRow, Subscription, SubscriptionResponse]):
    """Subscriptions."""

    model, missing, view = SubscriptionRow, SubscriptionNotFoundError, SubscriptionResponse

    async def entity_of(self, row: SubscriptionRow) -> Subscription:
        """Return the subscription of a row."""
        return subscription_of(row)

    async def list(self, query: SubscriptionQuery) -> Page[SubscriptionResponse]:
        """Return one page."""
        statement = self.select()
        if query.customer_id is not None:
            statement = statement.where(SubscriptionRow.customer_id == query.customer_id)
        if query.status is not None:
            statement = statement.where(SubscriptionRow.status == query.status)
        return await self.page(query, statement, NEWEST, self.view)

    async def due(self, now: dt.datetime) -> Sequence[uuid.UUID]:
        """Return those with a period that has begun and is not billed."""
        billable = {status for status, move in SUBSCRIPTION_MOVES if move == "renew"}
        due = SubscriptionRow.due_at <= now, SubscriptionRow.status.in_(billable)
        found = select(SubscriptionRow.id).where(*due).order_by(SubscriptionRow.due_at).limit(MOST_DUE)
        return (await self.session.scalars(found)).all()


class InvoiceRepository(EntityRepository[InvoiceRow, Invoice, InvoiceDetail]):
    """Invoices with their lines."""

    model, missing, view = InvoiceRow, InvoiceNotFoundError, InvoiceDetail

    def columns_of(self, entity: Invoice) -> Mapping[str, Any]:
        """Return the values of its row."""
        return invoice_columns(entity)

    async def entity_of(self, row: InvoiceRow) -> Invoice:
        """Return the invoice of a row, with its lines."""
        return invoice_of(row, await self._lines(row.id))

    async def insert(self, entity: Invoice) -> None:
        """Write a new draft with its lines, which never change."""
        await super().insert(entity)
        self.session.add_all(LineRow(**columns) for columns in line_columns(entity))
        await self.session.flush()

    async def show(self, entity_id: uuid.UUID) -> InvoiceDetail:
        """Return how the API shows it."""
        head = InvoiceResponse.model_validate(await self.get(entity_id))
        lines = [LineResponse.model_validate(line) for line in await self._lines(entity_id)]
        return InvoiceDetail(**head.model_dump(exclude={"total"}), lines=lines)

    async def list(self, query: InvoiceQuery) -> Page[InvoiceResponse]:
        """Return one page, without lines."""
        statement = self.select()
        for column in (InvoiceRow.customer_id, InvoiceRow.subscription_id, InvoiceRow.status):
            if (wanted := getattr(query, column.key)) is not None:
                statement = statement.where(column == wanted)
        return await self.page(query, statement, NEWEST, InvoiceResponse)

    async def due(self, now: dt.datetime) -> Sequence[uuid.UUID]:
        """Return those that are to be collected: an attempt is to begin, or was left under way by who asked in vain.

        The latter as long as the provider knows the attempt again. One that it has not decided yet is among them: to
        ask for that once more changes nothing.
        """
        collectable = {status for status, move in INVOICE_MOVES if move == "collect"}
        left = and_(
            InvoiceRow.pending.is_not(None),
            InvoiceRow.attempted_at.between(now - LIFE_OF_A_KEY, now - LONGEST_ATTEMPT),
        )
        found = select(InvoiceRow.id).where(InvoiceRow.status.in_(collectable), or_(InvoiceRow.retry_at <= now, left))
        since = func.coalesce(InvoiceRow.retry_at, InvoiceRow.attempted_at)
        return (await self.session.scalars(found.order_by(since).limit(MOST_DUE))).all()

    async def has_failed(self, subscription_id: uuid.UUID) -> bool:
        """Tell whether an invoice of a subscription is owed that could not be collected."""
        owed = InvoiceRow.status == InvoiceStatus.open, InvoiceRow.failure.is_not(None)
        found = select(InvoiceRow.id).where(InvoiceRow.subscription_id == subscription_id, *owed).limit(1)
        return await self.session.scalar(found) is not None

    async def _lines(self, invoice_id: uuid.UUID) -> Sequence[LineRow]:
        """Return the rows of its lines, in their order."""
        found = select(LineRow).where(LineRow.invoice_id == invoice_id).order_by(LineRow.place)
        return (await self.session.scalars(found)).all()


class LedgerRepository:
    """What a tenant counts: the numbers of its invoices, and what it took in of the provider."""

    def __init__(self, ctx: Context) -> None:
        self.session, self.tenant_id = ctx.session, ctx.tenant_id

    async def next_number(self) -> int:
        """Return the next number; the tenant's others wait until this transaction ends, so that none is ever left out.

        Take it last: whatever is rolled back gives it back.
        """
        taken = insert(CounterRow).on_conflict_do_update(
            index_elements=[CounterRow.tenant_id], set_={"last": CounterRow.last + 1}
        )
        row = {"tenant_id": self.tenant_id, "id": uuid7(), "last": 1}
        found = await self.session.scalars(taken.returning(CounterRow.last), [row])
        return found.one()

    async def is_new(self, event_id: str, kind: str) -> bool:
        """Note an event of the provider, or a stray payment; False when it was noted before.

        A twin under way is waited for.
        """
        noted = insert(EventRow).on_conflict_do_nothing(index_elements=[EventRow.tenant_id, EventRow.event_id])
        row = {"tenant_id": self.tenant_id, "id": uuid7(), "event_id": event_id, "kind": kind}
        found = await self.session.scalars(noted.returning(EventRow.id), [row])
        return found.one_or_none() is not None
