"""The schedule: each tick once, however many schedulers, whatever the clock does."""

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select

from app.config import settings
from app.core.context import Context
from app.core.outbox import Status
from app.core.schedule import Line, ScheduleEntry, Scheduler, check_schedule, cron, every
from app.core.tasks import Handle, Task, task
from app.db.tenancy import SYSTEM_TENANT_ID
from app.processes import Pools, Roles
from app.worker import SCHEDULE, TASKS
from tests.core import chores
from tests.core.bench import Bench, open_bench
from tests.support import Cluster

HOUR = dt.timedelta(hours=1)
SOON = dt.timedelta(seconds=20)


@task(retries=0, system=True)
async def hourly(ctx: Context) -> None:
    """Do nothing, every hour."""


@task(retries=0, system=True)
async def nightly(ctx: Context) -> None:
    """Do nothing, every night."""


CHORES: list[Task[Any]] = [*chores.CHORES, hourly, nightly]


@pytest.fixture
async def bench(cluster: Cluster) -> AsyncIterator[Bench]:
    """Open a bench with an empty schedule."""
    async with open_bench(cluster, CHORES) as found:
        yield found


async def set_due(bench: Bench, line: Line, away: dt.timedelta) -> None:
    """Let a line be due so far from now, as a clock that was set would have it."""
    moved = "update schedule_entries set due_at = now() + cast(:away as interval) where name = :name returning 1"
    assert await bench.cluster.rows(bench.database, moved, away=away, name=line.task.name) == [(1,)]


async def due_in(bench: Bench, line: Line) -> dt.timedelta:
    """Return how far away a line is due."""
    query = "select due_at - now() from schedule_entries where name = :name"
    ((found,),) = await bench.cluster.rows(bench.database, query, name=line.task.name)
    assert isinstance(found, dt.timedelta)
    return found


async def started(bench: Bench, scheduler: Scheduler) -> int:
    """Tick, wait for what that enqueued, and return how much it was."""
    found = await scheduler.tick()
    async with bench.work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
        for task_id in found:
            assert (await Handle(ctx, task_id).wait(20)).status == Status.finished
    return len(found)


async def test_a_line_runs_soon_and_then_in_its_time(bench: Bench) -> None:
    """An interval for the first time at once; a moment of the calendar when it comes."""
    lines = [every(HOUR, hourly), cron("10 3 * * *", nightly)]
    scheduler = Scheduler(bench.work, lines)
    assert [await started(bench, scheduler) for _ in range(3)] == [0, 1, 0]
    assert HOUR - SOON < await due_in(bench, lines[0]) <= HOUR
    query = "select to_char(due_at at time zone 'utc', 'HH24:MI:SS') from schedule_entries where name = :name"
    assert await bench.cluster.rows(bench.database, query, name=nightly.name) == [("03:10:00",)]
    await set_due(bench, lines[1], -SOON)
    assert [await started(bench, scheduler) for _ in range(2)] == [1, 0]


async def test_many_schedulers_enqueue_a_tick_once(bench: Bench) -> None:
    """Ten at a time, on two pools of connections, as processes have them."""
    lines = [every(HOUR, hourly)]
    other = Pools.open(settings, Roles.of(settings, bench.cluster.url("app_rw", bench.database)).worker)
    many = [Scheduler(work, lines) for work in (bench.work, other.work) for _ in range(5)]
    await asyncio.gather(*(one.tick() for one in many))
    await settle(bench)
    count = "select count(*) from outbox_entries where name = :name"
    ((before,),) = await bench.cluster.rows(bench.database, count, name=hourly.name)
    assert before <= 1  # a tick that was late may have found the line that another one had just written
    for _ in range(5):
        await set_due(bench, lines[0], -HOUR)
        found = [ids for ids in await asyncio.gather(*(one.tick() for one in many)) if ids]
        assert len(found) <= 1
        assert len(found) + await started(bench, many[0]) == 1
        await settle(bench)
    await other.close()
    assert await bench.cluster.rows(bench.database, count, name=hourly.name) == [(before + 5,)]


async def settle(bench: Bench) -> None:
    """Wait until nothing is under way: a run that is not over keeps the next one from being enqueued."""
    async with bench.work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
        query = "select id from outbox_entries where name = :name"
        for (entry_id,) in await bench.cluster.rows(bench.database, query, name=hourly.name):
            await Handle(ctx, entry_id).wait(20)


@pytest.mark.parametrize("away", [dt.timedelta(days=-400), -HOUR * 5, HOUR * 5, dt.timedelta(days=400)])
async def test_a_downtime_and_a_clock_that_is_set_cost_one_run_at_most(bench: Bench, away: dt.timedelta) -> None:
    """Late, a line runs once; with a due date from a clock that was ahead it goes on in its rhythm from now."""
    lines = [every(HOUR, hourly), cron("10 3 * * *", nightly)]
    scheduler = Scheduler(bench.work, lines)
    assert [await started(bench, scheduler) for _ in range(2)] == [0, 1]
    for line in lines:
        await set_due(bench, line, away)
    late = 2 if away < dt.timedelta(0) else 0
    assert [await started(bench, scheduler) for _ in range(3)] == [late, 0, 0]
    assert HOUR - SOON < await due_in(bench, lines[0]) <= HOUR
    assert await due_in(bench, lines[1]) <= dt.timedelta(days=1)


async def test_a_run_that_lasts_is_not_joined_by_another(bench: Bench) -> None:
    """The tick passes; the next one after its end counts."""
    lines = [every(HOUR, hourly)]
    scheduler = Scheduler(bench.work, lines)
    await scheduler.tick()
    held = "update schedule_entries set due_at = now() - interval '1 hour' returning 1"
    waiting = """
        insert into outbox_entries (tenant_id, id, kind, name, queue, status, version, payload, request_id, address,
            unique_key, attempts, max_attempts, dispatches)
        values (:tenant, gen_random_uuid(), 'task', :name, 'default', 'deferred', 1, '{}', '', '', 'schedule', 0, 1, 0)
        returning id
    """
    ((task_id,),) = await bench.cluster.rows(bench.database, waiting, tenant=SYSTEM_TENANT_ID, name=hourly.name)
    await bench.cluster.rows(bench.database, held)
    assert await scheduler.tick() == [task_id]
    assert await scheduler.tick() == []


async def test_it_runs_until_it_is_cancelled(bench: Bench) -> None:
    """Its rows belong to the system tenant."""
    running = asyncio.create_task(Scheduler(bench.work, SCHEDULE).run())
    async with bench.work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
        async with asyncio.timeout(20):
            while len((await ctx.session.scalars(select(ScheduleEntry.name))).all()) < len(SCHEDULE):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_the_schedule_as_it_stands_can_be_carried_out(bench: Bench) -> None:
    """Each line's task finishes, as the worker's role: what looks across tenants may do so."""
    async with open_bench(bench.cluster, TASKS) as real:
        for line in SCHEDULE:
            state = await real.see(None, line.task)
            assert (state.status, state.error) == (Status.finished, None)
            counts = state.result if isinstance(state.result, dict) else {"done": state.result}
            assert set(counts.values()) == {0}


def test_a_line_must_be_of_a_system_task_and_stand_once() -> None:
    """The table is read at every start."""
    check_schedule(SCHEDULE, TASKS)
    for lines in (
        [every(HOUR, chores.bare)],
        [every(HOUR, hourly)],
        [every(HOUR, nightly), cron("* * * * *", nightly)],
    ):
        with pytest.raises(TypeError, match="is scheduled"):
            check_schedule(lines, [chores.bare, nightly])


@pytest.mark.parametrize("fields", ["", "* * *", "61 * * * *", "0 3 * * * *", "x y z a b"])
def test_a_rule_that_means_nothing_is_refused(fields: str) -> None:
    """So is an interval of no length."""
    with pytest.raises(ValueError, match="say minute, hour, day, month and weekday"):
        cron(fields, nightly)
    with pytest.raises(ValueError, match="say 1 s at least"):
        every(dt.timedelta(0), nightly)
