"""The outbox: what is to be done after a commit, written by the transaction that wants it done.

An entry is a delivery (one event for one handler) or a task. Its life:

    deferred -> queued -> sent -> started -> finished
                  ^                  |
                  '--- a failure ----'---> dead -> queued (requeued) or discarded

The relay moves queued entries to the broker, a worker starts and finishes them. `attempts` is the fencing token: who
finishes an entry names the attempt that it began, and does so in the transaction of the effect, so that an effect is
committed once however often its entry was sent.
"""

import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import (
    CheckConstraint,
    Index,
    SmallInteger,
    Table,
    Text,
    Uuid,
    any_,
    bindparam,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, aliased, mapped_column
from sqlalchemy.sql.dml import ReturningUpdate

from app.core.context import Context
from app.core.exceptions import LeaseLostError, TaskNotFoundError
from app.db.base import Base
from app.db.mixin import TenantMixin
from app.db.tenancy import Relayed

LEASE = dt.timedelta(seconds=15)
"""How long an entry is a worker's without a sign of life."""

PATIENCE = "60s"
"""How long a task that has done its work waits for those who enqueue what depends on it."""

UNSEEN = {"synchronize_session": False}
"""For statements about rows that no session holds."""


class Kind(StrEnum):
    """What an entry is."""

    delivery = "delivery"
    task = "task"
    refused = "refused"
    """A job that was found in the broker and that nobody here sent: kept as a dead letter."""


class Status(StrEnum):
    """Where an entry stands."""

    deferred = "deferred"
    """It waits for other tasks to finish."""
    queued = "queued"
    """It waits for its time (`due_at`) and for room in the broker; also between two attempts."""
    sent = "sent"
    """The broker has it."""
    started = "started"
    finished = "finished"
    dead = "dead"
    """It failed too often: `error` says why. It can be requeued or discarded."""
    discarded = "discarded"


def one_of(column: str, words: type[StrEnum]) -> str:
    """Return the condition that a column holds one of an enum's words."""
    return f"{column} in ({', '.join(repr(str(word)) for word in words)})"


WAITING = (Status.deferred, Status.queued, Status.sent, Status.started)
PASSED = (Status.finished, Status.discarded)
"""Nobody waits for these: a discarded task took those along that had waited for it."""


class OutboxEntry(TenantMixin, Base):
    """One thing to be done; `name` is the handler's or the task's, `due_at` the moment before which it does not begin.

    `dispatches` counts how often the relay handed it over, `attempts` how often a worker began.
    """

    __tablename__ = "outbox_entries"
    __bookkeeping__ = True
    kind: Mapped[str]
    name: Mapped[str]
    queue: Mapped[str]
    status: Mapped[str]
    event_id: Mapped[uuid.UUID | None]
    action: Mapped[str | None]
    version: Mapped[int] = mapped_column(SmallInteger, default=1)
    payload: Mapped[dict[str, Any]]
    actor_id: Mapped[uuid.UUID | None]
    on_behalf_of: Mapped[uuid.UUID | None]
    request_id: Mapped[str]
    address: Mapped[str]
    unique_key: Mapped[str | None]
    depends_on: Mapped[list[uuid.UUID]] = mapped_column(ARRAY(Uuid()), server_default=text("'{}'"))
    attempts: Mapped[int] = mapped_column(SmallInteger, default=0)
    max_attempts: Mapped[int] = mapped_column(SmallInteger)
    dispatches: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    lease_until: Mapped[dt.datetime | None]
    progress: Mapped[dict[str, Any] | None]
    result: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    started_at: Mapped[dt.datetime | None]
    finished_at: Mapped[dt.datetime | None]
    __table_args__ = (
        CheckConstraint(one_of("kind", Kind), name="kind"),
        CheckConstraint(one_of("status", Status), name="status"),
        Index("ix_outbox_entries_queued", "queue", "tenant_id", "due_at", postgresql_where=text("status = 'queued'")),
        Index(
            "ix_outbox_entries_leased",
            "queue",
            "tenant_id",
            "status",
            postgresql_where=text("status in ('sent', 'started')"),
        ),
        Index(
            "ix_outbox_entries_over",
            "finished_at",
            postgresql_where=text("status in ('finished', 'discarded')"),
        ),
        Index("ix_outbox_entries_event", "tenant_id", "event_id", postgresql_where=text("event_id is not null")),
        Index("ix_outbox_entries_status", "tenant_id", "status", "created_at", "id"),
        Index(
            "uq_outbox_entries_unique_key",
            "tenant_id",
            "name",
            "unique_key",
            unique=True,
            postgresql_where=text("unique_key is not null and status in ('deferred', 'queued', 'sent', 'started')"),
        ),
        {
            "info": {
                "relay": Relayed(
                    read=(
                        "tenant_id",
                        "id",
                        "kind",
                        "name",
                        "queue",
                        "status",
                        "attempts",
                        "max_attempts",
                        "dispatches",
                        "due_at",
                        "lease_until",
                        "created_at",
                        "finished_at",
                    ),
                    write=("status", "dispatches", "due_at", "lease_until", "finished_at", "error"),
                    delete=True,
                )
            }
        },
    )

    @property
    def handler(self) -> str:
        """Return the name as that of a delivery."""
        return self.name

    @property
    def died_at(self) -> dt.datetime | None:
        """Return when a dead letter failed for the last time."""
        return self.finished_at


def lock_number(entry: OutboxEntry) -> int:
    """Return the number of the lock that keeps two entries of one unique key apart."""
    key = f"outbox:{entry.tenant_id}:{entry.name}:{entry.unique_key}".encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big", signed=True)


# These run for each entry. They are built once and skip the ORM: to put a statement together, and to narrow it to the
# tenant that it names anyway, takes longer than to run it.
TABLE = cast("Table", OutboxEntry.__table__)
MINE = (
    TABLE.c.tenant_id == bindparam("tenant"),
    TABLE.c.id == bindparam("entry"),
    TABLE.c.attempts == bindparam("attempt"),
    TABLE.c.status == Status.started,
)
"""That the attempt which somebody began is still the one under way."""
NAMED = {"unscoped": "names its tenant"}

START = text("select * from start_outbox_entry(:tenant, :entry, :lease)").columns(
    **{one.name: one.type for one in TABLE.c if isinstance(one.type, JSONB)}
)
"""Begin an attempt; a statement that is a transaction of its own: the function enters the tenant (migration 0017)."""
MOVE = update(TABLE).where(*MINE).returning(TABLE.c.id).execution_options(**NAMED)
EXTEND = MOVE.values(lease_until=func.now() + LEASE)
FINISH = MOVE.values(
    status=Status.finished,
    finished_at=func.now(),
    error=None,
    lease_until=None,
    result=bindparam("outcome", type_=TABLE.c.result.type),
)


class Outbox:
    """The entries of the context's tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.session = ctx, ctx.session

    async def add(self, entries: Sequence[OutboxEntry]) -> None:
        """Write entries in this transaction, for its caller; the relay is told once it is committed."""
        for entry in entries:
            entry.actor_id, entry.on_behalf_of = self.ctx.actor_id, self.ctx.on_behalf_of
            entry.request_id, entry.address = self.ctx.request_id, self.ctx.address
        self.session.add_all(entries)
        await self.session.flush()
        self.ctx.work.wake()

    async def add_unique(self, entry: OutboxEntry) -> uuid.UUID:
        """Write an entry unless one with its key waits already; return the id of the one that does.

        Two at once take turns: the second waits for the first one's commit.
        """
        found = await self.waiting(entry)
        if found is None:
            await self.add([entry])
        return found or entry.id

    async def waiting(self, entry: OutboxEntry) -> uuid.UUID | None:
        """Return the entry of the same key that is not over, if there is one; nobody adds one before the commit."""
        key = OutboxEntry.name == entry.name, OutboxEntry.unique_key == entry.unique_key
        waiting = select(OutboxEntry.id).where(*key, OutboxEntry.status.in_(WAITING))
        lock = select(func.pg_advisory_xact_lock(lock_number(entry)))
        await self.session.execute(lock.execution_options(unscoped="reads no row"))
        found: uuid.UUID | None = await self.session.scalar(waiting)
        return found

    async def unfinished(self, entry_ids: Sequence[uuid.UUID]) -> bool:
        """Tell whether any of these entries has not finished; they cannot finish before this transaction ends.

        Their signs of life go on: the lock is the weakest there is, and `hold` alone waits for it. Raises
        `TaskNotFoundError` for one that is gone or was discarded.
        """
        found = select(OutboxEntry.status).where(OutboxEntry.id.in_(entry_ids)).order_by(OutboxEntry.id)
        states = (await self.session.scalars(found.with_for_update(read=True, key_share=True))).all()
        if len(states) < len(set(entry_ids)) or Status.discarded in states:
            raise TaskNotFoundError("A task that this one waits for is gone.")
        return any(status != Status.finished for status in states)

    async def refused_lately(self) -> int:
        """Return how many forged jobs were kept within an hour."""
        lately = OutboxEntry.kind == Kind.refused, OutboxEntry.created_at > func.now() - dt.timedelta(hours=1)
        found: int | None = await self.session.scalar(select(func.count()).select_from(OutboxEntry).where(*lately))
        return found or 0

    async def find(self, entry_id: uuid.UUID) -> OutboxEntry | None:
        """Return an entry, or None."""
        found: OutboxEntry | None = await self.session.scalar(select(OutboxEntry).where(OutboxEntry.id == entry_id))
        return found

    async def deliveries(self, event_id: uuid.UUID) -> Sequence[OutboxEntry]:
        """Return who hears of an event, in the order of the handlers' names."""
        found = select(OutboxEntry).where(OutboxEntry.event_id == event_id, OutboxEntry.kind == Kind.delivery)
        return (await self.session.scalars(found.order_by(OutboxEntry.name))).all()

    async def extend(self, entry: OutboxEntry) -> bool:
        """Give a sign of life; False when the attempt is not this one's any more."""
        return await self._move(entry, EXTEND)

    async def report(self, entry_id: uuid.UUID, progress: dict[str, Any]) -> None:
        """Show how far an entry is that runs."""
        running = update(OutboxEntry).where(OutboxEntry.id == entry_id, OutboxEntry.status == Status.started)
        await self.session.execute(running.values(progress=progress).execution_options(**UNSEEN))

    async def finish(self, entry: OutboxEntry, result: Any = None) -> None:
        """End an attempt well, in the transaction of its effect; raises `LeaseLostError` when it is another's now."""
        if entry.kind == Kind.task:
            await self.hold(entry.id)
        if not await self._move(entry, FINISH, outcome=result):
            raise LeaseLostError(entry.name)
        if entry.kind == Kind.task:
            await self.release_dependents(entry.id)

    async def fail(self, entry: OutboxEntry, error: str, delay: float | None) -> None:
        """End an attempt badly: it is tried again in `delay` seconds; after its last one, or with None, it is dead."""
        status = Status.dead if delay is None or entry.attempts >= entry.max_attempts else Status.queued
        over = func.now() if status == Status.dead else None
        due = func.now() + dt.timedelta(seconds=delay or 0)
        failed = MOVE.values(status=status, error=error, due_at=due, lease_until=None, finished_at=over)
        await self._move(entry, failed)

    async def give_back(self, entry: OutboxEntry) -> None:
        """Return an entry whose worker stops; the attempt does not count."""
        queued = MOVE.values(status=Status.queued, due_at=func.now(), lease_until=None, attempts=TABLE.c.attempts - 1)
        if await self._move(entry, queued):
            self.ctx.work.wake()

    async def hold(self, entry_id: uuid.UUID) -> OutboxEntry | None:
        """Return an entry, locked, once those who enqueue what depends on it have committed: their entries show now."""
        patience = select(func.set_config("lock_timeout", PATIENCE, True))
        await self.session.execute(patience.execution_options(unscoped="reads no row"))
        held = select(OutboxEntry).where(OutboxEntry.id == entry_id).with_for_update()
        found: OutboxEntry | None = await self.session.scalar(held.execution_options(populate_existing=True))
        return found

    async def release_dependents(self, entry_id: uuid.UUID) -> None:
        """Queue the tasks that waited for this one alone.

        They are locked first: of two parents that finish together, the second then sees that the first has finished.
        """
        children = await self.dependents(entry_id)
        if children:
            parent = aliased(OutboxEntry)
            unfinished = (parent.id == any_(OutboxEntry.depends_on)) & parent.status.not_in(PASSED)
            ready = update(OutboxEntry).where(
                OutboxEntry.id.in_(children), ~select(parent.id).where(unfinished).correlate(OutboxEntry).exists()
            )
            due = func.greatest(OutboxEntry.due_at, func.now())
            await self.session.execute(ready.values(status=Status.queued, due_at=due).execution_options(**UNSEEN))
            self.ctx.work.wake()

    async def dependents(self, entry_id: uuid.UUID) -> Sequence[uuid.UUID]:
        """Return the tasks that wait for this one, locked."""
        waits = OutboxEntry.status == Status.deferred, any_(OutboxEntry.depends_on) == entry_id
        found = await self.session.scalars(
            select(OutboxEntry.id).where(*waits).order_by(OutboxEntry.id).with_for_update()
        )
        return found.all()

    async def _move(self, entry: OutboxEntry, change: ReturningUpdate[Any], **values: Any) -> bool:
        """Change an entry if the attempt that this one began is under way."""
        mine = {"tenant": entry.tenant_id, "entry": entry.id, "attempt": entry.attempts}
        return (await self.session.execute(change, mine | values)).first() is not None
