"""Writing and reading the audit."""

from app.audit.models import AuditEntry
from app.audit.repository import AuditRepository
from app.audit.schemas import AuditEntryResponse, AuditQuery
from app.core.context import Context
from app.core.events import ApplicationEvent
from app.utils.schemas import Page


class AuditService:
    """Keep who did what; the rows can be added and read, never changed."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def list(self, query: AuditQuery) -> Page[AuditEntryResponse]:
        """Return one page of the tenant's entries, newest first."""
        return await AuditRepository(self.ctx.session).list(query)

    async def save(self, event: ApplicationEvent) -> None:
        """Add one row in the transaction of the context: with the change or not at all."""
        self.ctx.session.add(
            AuditEntry(
                id=event.event_id,
                created_at=event.occurred_at,
                action=event.action,
                object_type=event.object_type,
                object_id=event.object_id,
                actor_id=self.ctx.actor_id,
                before=event.before,
                after=event.after,
                outcome=event.outcome,
                request_id=self.ctx.request_id,
            )
        )
        await self.ctx.session.flush()
