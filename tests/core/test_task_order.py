"""When tasks run: after a while, at a moment, after others, and one of a kind at a time."""

import asyncio
import datetime as dt
import uuid

import pytest

from app.config import settings
from app.core.exceptions import TaskNotFoundError
from app.core.outbox import Outbox, Status
from app.core.tasks import Handle, enqueue
from app.processes import Pools, Roles
from app.utils.helpers import utcnow
from tests.core import chores
from tests.core.bench import Bench
from tests.core.chores import BOARD

HOUR = dt.timedelta(hours=1)
ROUNDS = 8


async def after(bench: Bench, name: str, *parents: Handle) -> Handle:
    """Enqueue a task that waits for others."""
    return await bench.put(parents[0].ctx.tenant_id, chores.mark.but(depends_on=parents), name)


async def test_a_delay_and_a_moment_are_kept(bench: Bench, tenant: uuid.UUID) -> None:
    """A task does not begin before; what is due in the past begins at once."""
    now = utcnow()
    options = {
        dt.timedelta(seconds=0.4): chores.bare.but(delay=dt.timedelta(seconds=0.4)),
        dt.timedelta(seconds=0.5): chores.bare.but(at=now, delay=dt.timedelta(seconds=0.5)),
        dt.timedelta(0): chores.bare.but(at=now - HOUR),
    }
    handles = {wait: await bench.put(tenant, task) for wait, task in options.items()}
    for wait, handle in handles.items():
        assert (await handle.wait(20)).status == Status.finished
        entry = await bench.entry(handle)
        assert entry.started_at is not None
        assert entry.started_at >= entry.due_at
        assert entry.started_at - now >= wait
    assert (await bench.entry(await bench.put(tenant, chores.bare.but(delay=HOUR)))).status == Status.queued


async def test_a_chain_runs_in_order(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """Each waits for the one before; one that depends on what is finished does not wait."""
    gate = BOARD.gates[name] = asyncio.Event()
    first = await bench.put(tenant, chores.gated, name)
    second = await after(bench, f"{name} 2", first)
    third = await after(bench, f"{name} 3", second, first)
    await bench.until(first, Status.started)
    assert [(await one.state()).status for one in (second, third)] == [Status.deferred] * 2
    gate.set()
    assert (await third.wait(20)).status == Status.finished
    assert [line for line in BOARD.seen if str(line).startswith(name)] == [name, f"{name} 2", f"{name} 3"]
    assert (await (await after(bench, f"{name} 4", first, third)).wait(20)).status == Status.finished


async def test_parents_that_finish_together_leave_no_child_behind(bench: Bench, tenant: uuid.UUID) -> None:
    """However they meet, the child runs, once."""
    for number in range(ROUNDS):
        gate = f"{tenant} {number}"
        BOARD.gates[gate] = asyncio.Event()
        parents = [await bench.put(tenant, chores.gated, gate) for _ in range(3)]
        children = [await after(bench, f"{gate} child {child}", *parents) for child in range(2)]
        for parent in parents:
            await bench.until(parent, Status.started)
        BOARD.gates[gate].set()
        assert [(await child.wait(20)).result for child in children] == [1, 1]


async def test_two_ends_in_two_open_transactions(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """The second parent's end waits for the first one's commit, and then lets the child go."""
    parents = [await bench.put(tenant, chores.bare.but(delay=HOUR)) for _ in range(2)]
    child = await after(bench, name, *parents)
    started = [await bench.runner.start(tenant, parent.id) for parent in parents]
    first, second = (entry for entry in started if entry is not None)

    async def end_second() -> None:
        async with bench.work.begin(tenant_id=tenant) as ctx:
            await Outbox(ctx).finish(second)

    async with bench.work.begin(tenant_id=tenant) as ctx:
        await Outbox(ctx).finish(first)
        ending = asyncio.create_task(end_second())
        done, _ = await asyncio.wait([ending], timeout=0.3)
        assert not done
    await ending
    assert (await child.wait(20)).result == 1


async def test_a_parent_waits_for_who_is_about_to_depend_on_it(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """Its signs of life go on meanwhile; the child that was being written as it finished is not forgotten."""
    gate = BOARD.gates[name] = asyncio.Event()
    parent = await bench.put(tenant, chores.gated, name)
    entry = await bench.until(parent, Status.started)
    async with bench.work.begin(tenant_id=tenant) as ctx:
        child = await enqueue(ctx, chores.mark.but(depends_on=[parent]), f"{name} child")
        gate.set()
        async with bench.work.begin(tenant_id=tenant) as other:
            assert await Outbox(other).extend(entry)
        await asyncio.sleep(0.3)
        assert (await bench.entry(parent)).status == Status.started
    assert (await child.wait(20)).result == 1
    assert (await parent.state()).status == Status.finished


async def test_a_dead_parent_keeps_its_child_waiting(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """Until it is tried again, and finishes."""
    parent = await bench.put(tenant, chores.mark.but(retries=0), name, 1)
    child = await after(bench, f"{name} child", parent)
    assert (await parent.wait(20)).status == Status.dead
    assert (await child.state()).status == Status.deferred
    late = await after(bench, f"{name} late", parent)
    assert (await late.state()).status == Status.deferred
    assert await bench.runner.run(tenant, parent.id)
    for one in (child, late):
        assert (await one.wait(20)).status == Status.finished


async def test_a_parent_must_be_of_the_tenant(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """One of another tenant is as missing as one that never was."""
    foreign = await bench.put(await bench.tenant(), chores.bare)
    for missing in (foreign, Handle(foreign.ctx, uuid.uuid4())):
        async with bench.work.begin(tenant_id=tenant) as ctx:
            with pytest.raises(TaskNotFoundError):
                await enqueue(ctx, chores.mark.but(depends_on=[missing]), name)


async def test_one_of_a_key_waits_at_a_time(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """Ten at once, from two pools of connections as two processes have them, are one; another key is another."""
    roles = Roles.of(settings, bench.cluster.url("app_rw", bench.database))
    other = Pools.open(settings, roles.worker)
    gate = BOARD.gates[name] = asyncio.Event()
    unique = chores.gated.but(unique="only")

    async def put(number: int) -> uuid.UUID:
        work = (bench.work, other.work)[number % 2]
        async with work.begin(tenant_id=tenant) as ctx:
            first = await enqueue(ctx, unique, name)
            assert (await enqueue(ctx, unique, name)).id == first.id
            return first.id

    (found,) = set(await asyncio.gather(*map(put, range(10))))
    await other.close()
    handle = Handle((await bench.put(tenant, chores.bare)).ctx, found)
    await bench.until(handle, Status.started)
    assert (await bench.put(tenant, unique, name)).id == found
    assert (await bench.put(tenant, chores.gated.but(unique="another"), name)).id != found
    assert (await bench.put(await bench.tenant(), unique, name)).id != found
    gate.set()
    await handle.wait(20)
    assert (await bench.put(tenant, unique, name)).id != found
