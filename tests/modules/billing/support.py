"""A tenant that bills: what its tests do over HTTP, and how time passes for it."""

import datetime as dt
import uuid
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable

from app.core.context import Context
from app.core.tasks import enqueue
from app.core.unit_of_work import Transaction, UnitOfWork
from app.db.tenancy import SYSTEM_TENANT_ID
from app.exceptions import UnavailableError
from app.modules.billing.tasks import bill_tenants
from tests.support import Caller, Cluster, settled

GOOD, DECLINED, LATE = "pm_card_visa", "pm_card_chargeDeclined", "pm_processing"


class OnlyIn(Transaction):
    """A unit of work that opens a further one in a single tenant; for every other the database is away."""

    def __init__(self, unit: UnitOfWork, tenant_id: uuid.UUID) -> None:
        super().__init__(unit)
        self.tenant_id = tenant_id

    def separate(self, ctx: Context, tenant_id: uuid.UUID | None) -> AbstractAsyncContextManager[Context]:
        """Open it, or raise."""
        if tenant_id != self.tenant_id:
            raise UnavailableError
        return super().separate(ctx, tenant_id)


@dataclass(frozen=True)
class Office:
    """Somebody who bills."""

    owner: Caller
    cluster: Cluster
    database: str
    work: UnitOfWork

    async def post(self, path: str, status: int = 200, **body: Any) -> dict[str, Any]:
        """Send something to billing, and return what came."""
        answer = await self.owner.call("POST", f"/billing{path}", json=body)
        assert answer.status_code == status, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def get(self, path: str, **query: Any) -> dict[str, Any]:
        """Return what billing shows, once all that was left is done."""
        await settled(self.cluster, self.database)
        answer = await self.owner.call("GET", f"/billing{path}", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def execute(self, statement: Executable, rows: Sequence[dict[str, Any]] | None = None) -> None:
        """Run a statement in a transaction of the tenant."""
        async with self.work.begin(tenant_id=self.owner.tenant_id) as ctx:
            ctx.quiet("a test of the database")
            await ctx.session.execute(statement, rows)

    async def customer(self, payment_method: str | None = GOOD, **fields: Any) -> str:
        """Enter a customer; return the id."""
        body = {"name": "A Customer", "email": f"{uuid.uuid4().hex}@example.com", "country": "DE", **fields}
        made = await self.post("/customers", 201, **body, payment_method=payment_method)
        return str(made["id"])

    async def subscribe(self, payment_method: str | None = GOOD, **plan: Any) -> str:
        """Let a new customer subscribe to a new plan of 9.99 EUR and 19 % tax; return the id."""
        known = {"name": "Basic", "amount": 999, "currency": "EUR", "tax_rate": 1900}
        made = await self.post("/plans", 201, **{**known, **plan})
        customer_id = await self.customer(payment_method)
        return str((await self.post("/subscriptions", 201, customer_id=customer_id, plan_id=made["id"]))["id"])

    async def draft(self, payment_method: str | None = None, amount: int = 1000, **fields: Any) -> str:
        """Write an invoice of one line; return the id."""
        customer_id = await self.customer(payment_method, **fields)
        lines = [{"description": "Work", "unit_amount": amount, "tax_rate": 1900}]
        made = await self.post("/invoices", 201, customer_id=customer_id, currency="EUR", lines=lines)
        return str(made["id"])

    async def invoice_of(self, subscription_id: str) -> dict[str, Any]:
        """Return the newest invoice of a subscription, with its lines."""
        found = await self.get("/invoices", subscription_id=subscription_id)
        return await self.get(f"/invoices/{found['items'][0]['id']}")

    async def pass_time(self, **length: float) -> None:
        """Let so much time pass, and the hour strike."""
        await self.rewind(**length)
        await self.strike()

    async def rewind(self, **length: float) -> None:
        """Let everything of the tenant be so much earlier."""
        await settled(self.cluster, self.database)
        earlier = dt.timedelta(**length)
        for table, columns in MOMENTS.items():
            moved = ", ".join(f"{column} = {column} - cast(:earlier as interval)" for column in columns)
            replica = "with replica as (select set_config('session_replication_role', 'replica', true))"
            change = f"{replica} update {table} set {moved} from replica where tenant_id = :tenant returning 1"
            await self.cluster.rows(self.database, change, earlier=earlier, tenant=self.owner.tenant_id)

    async def strike(self) -> None:
        """Let the periodic task run, and all that it leaves."""
        async with self.work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
            await enqueue(ctx, bill_tenants)
        await settled(self.cluster, self.database)


MOMENTS = {
    "billing_subscriptions": ("anchor", "due_at"),
    "billing_invoices": ("period_start", "period_end", "attempted_at", "retry_at"),
}
