"""Generic resources: health, tasks, and deliveries of events."""

import uuid

from sqlalchemy import text

from app.core.context import Context
from app.core.exceptions import EventNotFoundError, TaskNotFoundError
from app.core.outbox import Outbox
from app.core.schemas import DeliveryResponse, EventResponse, TaskResponse


class HealthService:
    """Tell whether the application can do its work."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def check(self) -> None:
        """Ask the database for an answer; raises `UnavailableError` when it has none."""
        await self.ctx.session.execute(text("select 1"), execution_options={"unscoped": "asks for no row"})


class TaskService:
    """Show how work stands that comes after a commit; who may see it is asked before (`app.core.rights`)."""

    def __init__(self, ctx: Context) -> None:
        self.outbox = Outbox(ctx)

    async def get(self, task_id: uuid.UUID) -> TaskResponse:
        """Return one task; raises `TaskNotFoundError`."""
        entry = await self.outbox.find(task_id)
        if entry is None:
            raise TaskNotFoundError
        return TaskResponse.model_validate(entry)

    async def deliveries(self, event_id: uuid.UUID) -> EventResponse:
        """Return who hears of an event; raises `EventNotFoundError`, also when nobody does after the commit."""
        entries = await self.outbox.deliveries(event_id)
        if not entries:
            raise EventNotFoundError
        shown = [DeliveryResponse.model_validate(entry) for entry in entries]
        return EventResponse(id=event_id, action=entries[0].action or "", deliveries=shown)
