"""Writing the audit."""

from app.audit.models import AuditEntry
from app.core.context import Context
from app.core.events import ApplicationEvent


class AuditService:
    """Keep who did what; the rows can be added and read, never changed."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def save(self, event: ApplicationEvent) -> None:
        """Add one row in the transaction of the context: with the change or not at all."""
        self.ctx.session.add(
            AuditEntry(
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
