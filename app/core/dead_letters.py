"""Dead letters: what failed for good, and what becomes of it."""

import uuid
from typing import Any

from sqlalchemy import func, select, update

from app.core.context import Context
from app.core.events import Event
from app.core.exceptions import DeadLetterNotFoundError, DeadLetterRefusedError, DeadLetterSettledError, KeyWaitsError
from app.core.outbox import PASSED, UNSEEN, Kind, Outbox, OutboxEntry, Status
from app.core.schemas import DeadLetterDetail, DeadLetterQuery, DeadLetterResponse
from app.db.paging import paginate
from app.extensions.redaction import clean
from app.utils.schemas import Page


class DeadLetterRequeued(Event):
    """What had failed for good is tried again."""

    action = "dead_letter.requeued"
    name: str


class DeadLetterDiscarded(Event):
    """What had failed for good is given up."""

    action = "dead_letter.discarded"
    name: str


class DeadLetterService:
    """List, show, requeue and discard the dead letters of the context's tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.session, self.outbox = ctx, ctx.session, Outbox(ctx)

    async def list(self, query: DeadLetterQuery) -> Page[DeadLetterResponse]:
        """Return one page of dead letters, newest first."""
        statement = select(OutboxEntry).where(OutboxEntry.status == Status.dead)
        if query.kind is not None:
            statement = statement.where(OutboxEntry.kind == query.kind)
        if query.name is not None:
            statement = statement.where(OutboxEntry.name == query.name)
        rows, cursor = await paginate(self.session, statement, OutboxEntry, query, "-created_at")
        return Page(items=[DeadLetterResponse.model_validate(row) for row in rows], next_cursor=cursor)

    async def get(self, entry_id: uuid.UUID) -> DeadLetterDetail:
        """Return one dead letter with its payload, secrets hidden; raises `DeadLetterNotFoundError`."""
        entry = await self.outbox.find(entry_id)
        if entry is None or entry.status != Status.dead:
            raise DeadLetterNotFoundError
        shown = DeadLetterDetail.model_validate(entry)
        return shown.model_copy(update={"payload": clean(entry.payload)})

    async def requeue(self, entry_id: uuid.UUID) -> None:
        """Let it be tried again with all its attempts, once what it depends on has finished; its error stays till then.

        Raises `DeadLetterNotFoundError`; `DeadLetterSettledError` when somebody was quicker; `DeadLetterRefusedError`
        for a job that nobody here sent; `KeyWaitsError` when another task of its key took its place meanwhile.
        """
        entry = await self._held(entry_id)
        if entry.kind == Kind.refused:
            raise DeadLetterRefusedError
        await self._refuse_second(entry)
        status = Status.deferred if await self._waits(entry) else Status.queued
        again = {"status": status, "attempts": 0, "due_at": func.now(), "finished_at": None, "progress": None}
        await self._change(entry, again)
        self.ctx.work.wake()
        await self.ctx.emit(DeadLetterRequeued(object_id=entry.id, name=entry.name, **shift(entry, status)))

    async def discard(self, entry_id: uuid.UUID) -> None:
        """Give it up; what waited for it is dead now, and says so. Raises as `requeue` does."""
        entry = await self._held(entry_id)
        await self._change(entry, {"status": Status.discarded, "finished_at": func.now()})
        if waiting := await self.outbox.dependents(entry.id):
            why = f"{entry.name} ({entry.id}), for which it waited, was discarded"
            dead = {"status": Status.dead, "error": why, "finished_at": func.now()}
            orphaned = update(OutboxEntry).where(OutboxEntry.id.in_(waiting)).values(dead)
            await self.session.execute(orphaned.execution_options(**UNSEEN))
        await self.ctx.emit(DeadLetterDiscarded(object_id=entry.id, name=entry.name, **shift(entry, Status.discarded)))

    async def _held(self, entry_id: uuid.UUID) -> OutboxEntry:
        """Return a dead letter, locked: of two at once the second finds it settled."""
        entry = await self.outbox.hold(entry_id)
        if entry is None:
            raise DeadLetterNotFoundError
        if entry.status != Status.dead:
            raise DeadLetterSettledError
        return entry

    async def _refuse_second(self, entry: OutboxEntry) -> None:
        """Raise `KeyWaitsError` when an entry of the same key waits already."""
        if entry.unique_key is not None and await self.outbox.waiting(entry) is not None:
            raise KeyWaitsError

    async def _waits(self, entry: OutboxEntry) -> bool:
        """Tell whether something that it depends on is still to be done."""
        parents = select(OutboxEntry.status).where(OutboxEntry.id.in_(entry.depends_on)).order_by(OutboxEntry.id)
        states = await self.session.scalars(parents.with_for_update(read=True, key_share=True))
        return any(status not in PASSED for status in states)

    async def _change(self, entry: OutboxEntry, values: dict[str, Any]) -> None:
        changed = update(OutboxEntry).where(OutboxEntry.id == entry.id).values(values)
        await self.session.execute(changed.execution_options(**UNSEEN))


def shift(entry: OutboxEntry, status: Status) -> dict[str, Any]:
    """Return what the audit shows of a change."""
    return {"before": {"status": entry.status, "attempts": entry.attempts}, "after": {"status": status.value}}
