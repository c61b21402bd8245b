"""What an operator may do across tenants: find an entry as the relay, and change it as the worker in its tenant."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.dead_letters import DeadLetterService
from app.core.exceptions import DeadLetterNotFoundError
from app.core.outbox import Kind
from app.core.unit_of_work import UnitOfWork

Found = TypeVar("Found")

# The relay sees every row, and no payload.
LISTED = text("""
    select tenant_id, id, kind, name, attempts, created_at, finished_at from outbox_entries
    where status = 'dead' and (cast(:tenant as uuid) is null or tenant_id = cast(:tenant as uuid))
    order by created_at desc, id desc limit :limit
""")
OWNER = text("select tenant_id from outbox_entries where id = :id limit 2")
COUNTS = text("select name, status, count(*) from outbox_entries where kind = :kind group by name, status")


@dataclass(frozen=True)
class Operator:
    """The two ways in: `relay` looks, `work` changes, audited, for nobody in particular."""

    relay: AsyncEngine
    work: UnitOfWork

    async def list(self, tenant_id: uuid.UUID | None, limit: int) -> Sequence[Any]:
        """Return the newest dead letters of all tenants, or of one; the system's have its tenant."""
        async with self.relay.connect() as connection:
            return (await connection.execute(LISTED, {"tenant": tenant_id, "limit": limit})).all()

    async def counts(self, kind: Kind = Kind.task) -> dict[str, dict[str, int]]:
        """Return how many entries of each task there are, or of each handler, by status."""
        found: dict[str, dict[str, int]] = {}
        async with self.relay.connect() as connection:
            for name, status, count in await connection.execute(COUNTS, {"kind": kind}):
                found.setdefault(name, {})[status] = count
        return found

    async def tenant_of(self, entry_id: uuid.UUID) -> uuid.UUID:
        """Return whose an entry is; raises `DeadLetterNotFoundError`."""
        async with self.relay.connect() as connection:
            rows = (await connection.execute(OWNER, {"id": entry_id})).all()
        if len(rows) != 1:
            raise DeadLetterNotFoundError
        tenant_id: uuid.UUID = rows[0].tenant_id
        return tenant_id

    async def act(self, entry_id: uuid.UUID, step: Callable[[DeadLetterService], Awaitable[Found]]) -> Found:
        """Do something with a dead letter, in its tenant."""
        async with self.work.begin(tenant_id=await self.tenant_of(entry_id)) as ctx:
            return await step(DeadLetterService(ctx))
