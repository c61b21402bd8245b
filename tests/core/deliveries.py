"""An outbox of its own for tests: a tenant, events, and handlers whose effects are rows that can be counted."""

import asyncio
import threading
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import settings
from app.core.context import Context
from app.core.events import Event, Snapshot
from app.core.inline import InlineTransport
from app.core.reactions import Reaction, delivered, in_transaction
from app.core.relay import Relay, Ticket
from app.core.runner import Runner, registry
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.hub import MessageHub
from app.main import create_app
from app.processes import session_maker
from app.tenants.models import Role
from tests.support import Cluster, register

FAULTS: dict[str, list[BaseException]] = {}
"""What the second handler raises, by the event's note, one after the other."""
BEGUN = threading.Event()
"""Set while the endless handler runs."""


class Happened(Event):
    """Something happened."""

    action = "trial.happened"
    note: str


class Renamed(Event):
    """An event whose field has another name since version 2."""

    action = "trial.renamed"
    version = 2
    title: str

    @classmethod
    def upgrade(cls, version: int, data: Snapshot) -> Snapshot:
        """Take the name that version 1 had."""
        assert version == 1
        return {**data, "title": data["name"]}


class Slow(Event):
    """An event whose handler takes its time."""

    action = "trial.slow"
    note: str


class Long(Event):
    """An event whose handler never ends by itself."""

    action = "trial.long"


async def leave(ctx: Context, handler: str, note: str) -> None:
    """Leave a role as an effect; two of one name would be refused, so each bears a number."""
    ctx.session.add(Role(name=f"{handler} {note} {uuid.uuid4()}", description=note, permissions=[]))
    await ctx.session.flush()


async def first(ctx: Context, event: Happened) -> None:
    """Leave an effect."""
    await leave(ctx, "first", event.note)


async def second(ctx: Context, event: Happened) -> None:
    """Leave an effect, then fail as often as was said."""
    await leave(ctx, "second", event.note)
    if FAULTS.get(event.note):
        raise FAULTS[event.note].pop(0)


async def third(ctx: Context, event: Happened) -> None:
    """Leave an effect."""
    await leave(ctx, "third", event.note)


async def at_once(ctx: Context, event: Happened) -> None:
    """Leave an effect in the transaction of the change."""
    await leave(ctx, "at once", event.note)


async def renamed(ctx: Context, event: Renamed) -> None:
    """Leave the title."""
    await leave(ctx, "renamed", event.title)


async def stubborn(ctx: Context, event: Slow) -> None:
    """Leave an effect, and take no notice of being cancelled, if told so."""
    await leave(ctx, "stubborn", event.note)
    try:
        await asyncio.sleep(0.5)
    except asyncio.CancelledError:
        if event.note != "stubborn":
            raise
        await asyncio.sleep(0.5)


async def endless(ctx: Context, event: Long) -> None:
    """Leave an effect, tell, and go on."""
    await leave(ctx, "endless", "")
    BEGUN.set()
    await asyncio.sleep(60)


class TrialHub(MessageHub):
    """The shipped hub with lines of the test's own."""

    handlers: ClassVar[dict[type[Event], list[Reaction]]] = {
        **MessageHub.handlers,
        Happened: [in_transaction(at_once), delivered(first), delivered(second, retries=2), delivered(third)],
        Renamed: [delivered(renamed)],
        Slow: [delivered(stubborn, timeout=0.2, retries=0)],
        Long: [delivered(endless, timeout=60, retries=0)],
    }


@dataclass
class Post:
    """A database with an outbox that nobody works on but the test."""

    cluster: Cluster
    database: str
    work: UnitOfWork
    relay_engine: AsyncEngine
    tenant_id: uuid.UUID
    actor_id: uuid.UUID
    sent: list[Ticket] = field(default_factory=list)

    def runner(self, **options: float) -> Runner:
        """Return what carries entries out."""
        return Runner(self.work, registry(TrialHub.deliveries().items()), settings.tasks, **options)

    def relay(self, transport: Any = None, **config: Any) -> Relay:
        """Return a relay on a transport; one that only remembers tickets, unless another is given."""
        return Relay(self.relay_engine, transport or self, settings.tasks.model_copy(update=config))

    def room(self) -> int:
        """Have room for a thousand."""
        return 1000

    async def send(self, tickets: Sequence[Ticket]) -> None:
        """Remember tickets."""
        self.sent += tickets

    async def missing(self, tickets: Sequence[Ticket]) -> Sequence[Ticket]:
        """Have lost them all."""
        return tickets

    async def emit(self, *events: Event, tenant_id: uuid.UUID | None = None) -> None:
        """Announce events in a transaction of their own."""
        async with self.work.begin(tenant_id=tenant_id or self.tenant_id, actor_id=self.actor_id) as ctx:
            for event in events:
                await ctx.emit(event)

    async def run_all(self, runner: Runner | None = None) -> None:
        """Carry out what is due, inline, until nothing waits any more."""
        transport = InlineTransport(runner or self.runner(), 10)
        relay = self.relay(transport)
        while await self.rows("select 1 from outbox_entries where status in ('queued', 'sent', 'started')"):
            await relay.send_due()
            await asyncio.gather(*transport.running.values())
            await asyncio.sleep(0.01)

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Return what a statement finds for the superuser."""
        return await self.cluster.rows(self.database, query, **values)

    async def until(self, condition: str) -> None:
        """Return when an entry is as the condition says; fail after thirty seconds."""
        deadline = time.monotonic() + 30
        while not await self.rows(f"select 1 from outbox_entries where {condition}"):
            assert time.monotonic() < deadline, condition
            await asyncio.sleep(0.005)

    async def effects(self) -> Counter[str]:
        """Return how many effects each handler left."""
        return Counter(row.name.rsplit(" ", 2)[0] for row in await self.rows("select name from roles"))

    async def entries(self) -> dict[str, Any]:
        """Return the entries by the names of their handlers."""
        found = await self.rows("select * from outbox_entries order by id")
        return {row.name.rpartition(".")[2]: row for row in found}

    async def clear(self) -> None:
        """Forget every entry and effect."""
        FAULTS.clear()
        BEGUN.clear()
        self.sent.clear()
        await self.rows("with gone as (delete from outbox_entries) delete from roles returning 1")


@asynccontextmanager
async def open_post(cluster: Cluster) -> AsyncIterator[Post]:
    """Make a database with one tenant and its owner; nothing runs on it."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    app = create_app(url=cluster.url("app_rw", database))
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test/api/v1") as client:
        owner = await register(client)
    engine = create_engine(settings.database, cluster.url("app_worker", database), 20)
    relay_engine = create_engine(settings.database, cluster.url("app_relay", database), 4)
    work = UnitOfWork(session_maker(settings, engine, {}), TrialHub)
    post = Post(cluster, database, work, relay_engine, owner.tenant_id, owner.user_id)
    await post.clear()
    try:
        yield post
    finally:
        door = app.state.serving.gate.work
        for one in (engine, relay_engine, door.sessions.kw["bind"], door.reserve.kw["bind"]):
            await one.dispose()
        await door.limits.limiter.close()
        await cluster.drop(database)


async def refused(engine: AsyncEngine, statement: str) -> str:
    """Return what the database says to a statement that it must refuse."""
    try:
        async with engine.begin() as connection:
            await connection.execute(text(statement))
    except Exception as error:  # noqa: BLE001 - whatever it is, the test compares its words
        return str(error)
    return ""
