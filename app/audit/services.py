"""Writing and reading the audit."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from app.audit.events import AuditExported
from app.audit.models import AuditEntry
from app.audit.repository import AuditRepository
from app.audit.schemas import AuditEntryResponse, AuditFilter, AuditQuery
from app.audit.utils import entry_digest, storable
from app.core.context import Context
from app.core.events import ApplicationEvent
from app.utils.schemas import Page

TIMES = frozenset({"since", "until"})
"""The conditions of an export that the audit keeps with their values."""


class AuditService:
    """Keep who did what; the rows can be added and read, never changed."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def list(self, query: AuditQuery) -> Page[AuditEntryResponse]:
        """Return one page of the tenant's entries, newest first."""
        return await AuditRepository(self.ctx.session).list(query)

    async def export(self, query: AuditFilter) -> AsyncIterator[bytes]:
        """Note that the audit leaves the house, then return its entries as NDJSON, newest first, part by part.

        Each part is read in a short transaction of its own, so that who reads slowly holds no connection.
        """
        asked = query.model_dump(mode="json", exclude_none=True)
        times = {name: value for name, value in asked.items() if name in TIMES}
        await self.ctx.track(AuditExported(after={"narrowed_by": sorted(asked), **times}))
        return self._parts(query)

    async def _parts(self, query: AuditFilter) -> AsyncIterator[bytes]:
        """Yield the lines of some rows at a time, until there are no more."""
        last: AuditEntry | None = None
        while True:
            async with self.ctx.reader() as reader:
                rows = await AuditRepository(reader.session).part(query, last)
            if not rows:
                return
            lines = [AuditEntryResponse.model_validate(row).model_dump_json() for row in rows]
            yield ("\n".join(lines) + "\n").encode()
            last = rows[-1]

    async def save(self, event: ApplicationEvent) -> None:
        """Add one row in the transaction of the context: with the change or not at all."""
        self.ctx.session.add(AuditEntry(**row_of(self.ctx, event)))
        await self.ctx.session.flush()


def row_of(ctx: Context, event: ApplicationEvent) -> dict[str, Any]:
    """Return the columns of an entry, without secrets, with the digest over all of them."""
    return sealed(
        event,
        tenant_id=ctx.session.sync_session.tenant_id,
        actor_id=ctx.actor_id,
        on_behalf_of=ctx.on_behalf_of,
        request_id=ctx.request_id,
        address=ctx.address,
    )


def sealed(event: ApplicationEvent, **who: Any) -> dict[str, Any]:
    """Return the columns of an entry for who writes it without a Context; `who` names those that tell whose it is."""
    row: Mapping[str, Any] = {
        "id": event.event_id,
        "action": event.action,
        "object_type": event.object_type,
        "object_id": event.object_id,
        "before": storable(event.before),
        "after": storable(event.after),
        "outcome": event.outcome,
        "created_at": event.occurred_at,
        "actor_id": None,
        "on_behalf_of": None,
        "request_id": "",
        "address": "",
        **who,
    }
    return {**row, "digest": entry_digest(row)}
