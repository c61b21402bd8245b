"""The relay: hands what is due in the outbox to those who carry it out.

It is woken after commits, and looks by itself every `tasks.poll_seconds`, so that a wake-up may get lost. It works as
the role `app_relay`, which sees the entries of all tenants and none of their payloads. Any number of relays may run.
"""

import asyncio
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.runner import CHANCE, describe
from app.exceptions import AppError
from app.extensions.logs import get_logger
from app.sections import TaskSettings

HOLD = dt.timedelta(seconds=10)
"""How long an entry may be on its way before the relay looks for it in the broker."""

SWEEP = 1.0
"""Seconds between two looks for entries that were lost."""

NAP = 0.05
"""Seconds between two looks while there is much to do: room for what is due may come at any moment."""

REMOVED_AT_ONCE = 1000
REMOVAL = 60.0
"""Seconds between two removals of entries that are over."""

Step = Callable[[], Awaitable[int]]

log = get_logger(__name__)

# Each queue has room for so many entries under way, and the first queue's go first. Within it tenants take turns: each
# may have so many, and room goes first to those that have fewest, so that full tenants, however many, do not hold up
# another. The recursive part walks the index from tenant to tenant: a long queue costs no more than a short one.
# Nobody waits for the disk: a claim that a crash of the database forgets is made again, and sending twice is safe.
CLAIM = text("""
    with recursive line (queue, place, room) as materialized (
        select q.queue, q.place, least(:room, cast(:in_flight as bigint) - (
            select count(*) from outbox_entries s where s.status = 'sent' and s.queue = q.queue
        ))
        from unnest(cast(:queues as text[])) with ordinality as q (queue, place)
    ),
    tenant (queue, place, room, id) as (
        select line.*, first.tenant_id from line cross join lateral (
            select e.tenant_id from outbox_entries e
            where e.status = 'queued' and e.queue = line.queue order by e.tenant_id limit 1
        ) first
        where line.room > 0
        union all
        select tenant.queue, tenant.place, tenant.room, next.tenant_id from tenant cross join lateral (
            select e.tenant_id from outbox_entries e
            where e.status = 'queued' and e.queue = tenant.queue and e.tenant_id > tenant.id
            order by e.tenant_id limit 1
        ) next
    ),
    due as (
        select e.tenant_id, e.id, e.due_at, tenant.place, tenant.room,
            under_way.taken + row_number() over (partition by tenant.place, tenant.id order by e.due_at, e.id) as turn
        from tenant cross join lateral (
            select count(*) as taken from outbox_entries s
            where s.tenant_id = tenant.id and s.queue = tenant.queue and s.status = 'sent'
        ) under_way cross join lateral (
            select c.tenant_id, c.id, c.due_at from outbox_entries c
            where c.tenant_id = tenant.id and c.queue = tenant.queue and c.status = 'queued' and c.due_at <= now()
            order by c.due_at, c.id
            limit greatest(0, least(cast(:share as bigint) - under_way.taken, tenant.room))
            for update skip locked
        ) e
    ),
    ordered as (select *, row_number() over (partition by place order by turn, due_at) as nth from due),
    claimed as (select tenant_id, id from ordered where nth <= room order by place, nth limit cast(:room as bigint))
    update outbox_entries o
    set status = 'sent', dispatches = o.dispatches + 1, lease_until = now() + cast(:hold as interval)
    from claimed c, set_config('synchronous_commit', 'off', true) where o.tenant_id = c.tenant_id and o.id = c.id
    returning o.tenant_id, o.id, o.name, o.queue
""")
IS_DUE = text("""
    select exists (
        select 1 from unnest(cast(:queues as text[])) as q (queue), outbox_entries w
        where w.status = 'queued' and w.queue = q.queue and w.due_at <= now()
    )
""")
OVERDUE = text("""
    select tenant_id, id, name, queue from outbox_entries
    where status = 'sent' and lease_until < now() order by lease_until limit :room for update skip locked
""")
HOLD_ON = text("""
    update outbox_entries set lease_until = now() + cast(:hold as interval)
    where status = 'sent' and (tenant_id, id) in (select * from unnest(cast(:tenants as uuid[]), cast(:ids as uuid[])))
""")
TAKE_BACK = text("""
    update outbox_entries set status = 'queued', due_at = now() + cast(:delay as interval), lease_until = null
    where status = 'sent' and (tenant_id, id) in (select * from unnest(cast(:tenants as uuid[]), cast(:ids as uuid[])))
""")
# Whose worker gave no sign of life: it was killed, or it hangs. What it had not committed is gone.
ABANDONED = text("""
    update outbox_entries set
        status = case when attempts < max_attempts then 'queued' else 'dead' end,
        finished_at = case when attempts < max_attempts then null else now() end,
        error = 'its worker gave no sign of life in attempt ' || attempts,
        due_at = now(), lease_until = null
    where status = 'started' and lease_until < now()
    returning tenant_id, id, name, status
""")
REMOVE = text("""
    delete from outbox_entries where (tenant_id, id) in (
        select tenant_id, id from outbox_entries
        where status in ('finished', 'discarded') and finished_at < now() - make_interval(hours => cast(:hours as int))
        order by finished_at limit :room for update skip locked
    )
""")


@dataclass(frozen=True, slots=True)
class Ticket:
    """An entry on its way: all that a broker learns of it. `name` is for people who look."""

    tenant_id: uuid.UUID
    id: uuid.UUID
    name: str
    queue: str


class TransportAwayError(Exception):
    """Nobody takes tickets now: the broker is away."""


class Transport(Protocol):
    """What takes tickets to those who carry entries out."""

    def room(self) -> int:
        """Return how many more tickets it takes, of all queues together."""

    async def send(self, tickets: Sequence[Ticket]) -> None:
        """Take tickets; raises `TransportAwayError`, and then none or some were taken: sending again is safe."""

    async def missing(self, tickets: Sequence[Ticket]) -> Collection[Ticket]:
        """Return those that it does not hold any more; raises `TransportAwayError`."""


class Relay:
    """Moves tickets from the outbox to a transport until it is told to stop."""

    def __init__(self, engine: AsyncEngine, transport: Transport, config: TaskSettings) -> None:
        self.engine, self.transport, self.config = engine, transport, config
        self.single = engine.execution_options(isolation_level="AUTOCOMMIT")
        """The same pool, for statements that are a transaction each: no round trips for BEGIN and COMMIT."""
        self.news = asyncio.Event()
        self.crowded = False
        """Whether something due found no room at the last look."""

    def wake(self) -> None:
        """Say that there may be work; from the relay's own loop."""
        self.news.set()

    async def run(self) -> None:
        """Relay, and look for what got lost, until cancelled; a database or a broker that is away is asked again."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.forward())
            group.create_task(self.repeat(self.sweep, SWEEP))
            group.create_task(self.repeat(self.remove, REMOVAL))

    async def forward(self) -> None:
        """Send what is due: at once when woken, soon while there is more than room, else every `poll_seconds`."""
        while True:
            self.news.clear()
            sent = await self.guarded(self.send_due)
            # Not wait_for: before Python 3.12 it swallows a cancellation that meets the news, and never ends.
            with suppress(TimeoutError):
                # At random, so that relays do not look in step, and nobody can foretell when a delay ends.
                pause = min(NAP, self.config.poll_seconds) if sent or self.crowded else self.config.poll_seconds
                async with asyncio.timeout(pause * CHANCE.uniform(0.5, 1)):
                    await self.news.wait()

    async def repeat(self, step: Step, seconds: float) -> None:
        """Do a step again and again."""
        while True:
            await self.guarded(step)
            await asyncio.sleep(seconds)

    async def guarded(self, step: Step) -> int:
        """Do a step; one that fails is logged, and 0."""
        try:
            return await step()
        except (AppError, SQLAlchemyError, TransportAwayError, OSError) as error:
            log.warning("relay_failed", step=step.__name__, error=describe(error))
            await asyncio.sleep(self.config.poll_seconds)
            return 0

    async def send_due(self) -> int:
        """Claim what is due, as far as there is room, and send it; return how much it was."""
        queues, room = list(self.config.queues), self.transport.room()
        bounds = {"room": room, "in_flight": self.config.in_flight, "share": self.config.in_flight_tenant}
        async with self.single.connect() as connection:
            values = {**bounds, "queues": queues, "hold": HOLD}
            found = [Ticket(*row) for row in await connection.execute(CLAIM, values)] if room > 0 else []
            self.crowded = not found and bool(await connection.scalar(IS_DUE, {"queues": queues}))
        await self.send(found)
        return len(found)

    async def send(self, tickets: Sequence[Ticket]) -> None:
        """Send what was claimed; take it back when nobody takes it."""
        if tickets:
            try:
                await self.transport.send(tickets)
            except BaseException:
                await asyncio.shield(self.take_back(tickets, delay=self.config.poll_seconds))
                raise

    async def sweep(self) -> int:
        """Bring back what a dead worker held, and what the broker lost; return how much it was.

        The first does not wait for the second: while the broker is away, nobody can look into its queues.
        """
        async with self.engine.begin() as connection:
            abandoned = (await connection.execute(ABANDONED)).all()
        for row in abandoned:
            log.warning("run_without_sign_of_life", name=row.name, entry_id=str(row.id), status=row.status)
        lost = await self.sweep_lost()
        if abandoned or lost:
            self.wake()
        return len(abandoned) + lost

    async def sweep_lost(self) -> int:
        """Queue again what was sent, not begun, and is not in the broker any more; return how much it was."""
        async with self.engine.begin() as connection:
            overdue = [Ticket(*row) for row in await connection.execute(OVERDUE, {"room": self.config.in_flight})]
            lost = list(await self.transport.missing(overdue)) if overdue else []
            held = [ticket for ticket in overdue if ticket not in lost]
            if held:
                await connection.execute(HOLD_ON, {**keys(held), "hold": HOLD})
            if lost:
                await connection.execute(TAKE_BACK, {**keys(lost), "delay": dt.timedelta(0)})
        if lost:
            log.warning("tickets_lost", count=len(lost))
        return len(lost)

    async def take_back(self, tickets: Sequence[Ticket], *, delay: float) -> None:
        """Queue again what could not be sent; it is due a moment later."""
        async with self.engine.begin() as connection:
            await connection.execute(TAKE_BACK, {**keys(tickets), "delay": dt.timedelta(seconds=delay)})

    async def remove(self) -> int:
        """Remove entries that have been over for `tasks.kept_hours`; return how many."""
        async with self.engine.begin() as connection:
            removed = await connection.execute(REMOVE, {"hours": self.config.kept_hours, "room": REMOVED_AT_ONCE})
        return removed.rowcount


def keys(tickets: Sequence[Ticket]) -> dict[str, list[str]]:
    """Return the keys of entries as two arrays."""
    return {"tenants": [str(t.tenant_id) for t in tickets], "ids": [str(t.id) for t in tickets]}
