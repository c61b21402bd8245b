"""What the outbox holds at a moment, across tenants, for operators who watch it; no payload, no result.

The relay sees which entries there are. What they say (an event's name, an error, progress) is read in each entry's own
tenant, as the worker: no role reads that across tenants.
"""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import select, text

from app.core.operator import Operator
from app.core.outbox import Kind, OutboxEntry
from app.extensions.redaction import clean, redact

# What runs, what failed and is tried again, what is dead, what waits, what is over; of each the newest first.
SEEN = text("""
    select tenant_id, id, name, status, attempts, max_attempts, now() - created_at as age from outbox_entries
    where kind = :kind
    order by
        case
            when status = 'started' then 0
            when status in ('deferred', 'queued', 'sent') then case when attempts > 0 then 1 else 3 end
            when status = 'dead' then 2
            else 4
        end,
        created_at desc, id desc
    limit :limit
""")


@dataclass(frozen=True, slots=True)
class Line:
    """One entry: `action` is an event's, of a delivery; secrets are hidden in `error` and `progress`."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    name: str
    status: str
    attempts: int
    max_attempts: int
    age: dt.timedelta
    action: str = ""
    error: str = ""
    progress: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Overview:
    """How many entries of each name there are, by status, and some of them."""

    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    lines: Sequence[Line] = ()


async def look(operator: Operator, kind: Kind, limit: int) -> Overview:
    """Return the counts of a kind, and its entries, at most `limit`: those first that somebody should see."""
    counts = await operator.counts(kind)
    async with operator.relay.connect() as connection:
        rows = (await connection.execute(SEEN, {"kind": kind, "limit": limit})).all()
    said: dict[uuid.UUID, Any] = {}
    for tenant_id in {row.tenant_id for row in rows}:
        mine = [row.id for row in rows if row.tenant_id == tenant_id]
        said |= await words(operator, tenant_id, mine)
    return Overview(counts, [line(row, said.get(row.id)) for row in rows])


async def words(operator: Operator, tenant_id: uuid.UUID, entry_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, Any]:
    """Return what entries of one tenant say of themselves."""
    columns = OutboxEntry.id, OutboxEntry.action, OutboxEntry.error, OutboxEntry.progress
    async with operator.work.begin(tenant_id=tenant_id, read_only=True) as ctx:
        found = await ctx.session.execute(select(*columns).where(OutboxEntry.id.in_(entry_ids)))
        return {row.id: row for row in found}


def line(row: Any, said: Any) -> Line:
    """Return an entry; one that went meanwhile says nothing."""
    shown = Line(*row)
    if said is None:
        return shown
    return replace(shown, action=said.action or "", error=redact(said.error or ""), progress=clean(said.progress or {}))
