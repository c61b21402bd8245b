"""Tasks: what may be passed, for whom they run, what they return, and how they fail."""

import asyncio
import datetime as dt
import threading
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from app.core.context import Context
from app.core.exceptions import TaskArgumentsError, TaskNotFoundError, TaskTenantError
from app.core.outbox import Status
from app.core.payloads import LARGEST
from app.core.tasks import enqueue, report, task
from tests.core import chores
from tests.core.bench import Bench, eventually
from tests.core.chores import BOARD, Color, Parcel

WHO = uuid.uuid4()
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.timezone(dt.timedelta(hours=2)))
PARCEL = Parcel(weight=Decimal("1.50"), due=dt.date(2026, 1, 2))


async def test_arguments_arrive_in_their_types(bench: Bench, tenant: uuid.UUID) -> None:
    """Moments, identifiers, enumerations, schemas and sets come as they went; what was left out has its default."""
    state = await bench.see(tenant, chores.typed, 7, NOON, WHO, Color.red, parcel=PARCEL, names={"ü"})
    assert (state.status, state.error) == (Status.finished, None)
    assert state.result == {
        "number": ["int", 7],
        "moment": ["datetime", "2026-01-02T12:00:00+02:00"],
        "who": ["UUID", str(WHO)],
        "color": ["Color", "red"],
        "parcel": ["Parcel", {"weight": "1.50", "due": "2026-01-02"}],
        "names": ["set", ["ü"]],
        "pause": ["timedelta", "PT1S"],
        "note": ["NoneType", None],
    }


async def test_a_plain_function_runs_in_a_thread(bench: Bench, tenant: uuid.UUID) -> None:
    """It returns like any other."""
    state = await bench.see(tenant, chores.threaded, number=3)
    assert state.result == {"number": 3, "main": False}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "missing a required argument: 'name'"),
        ({"name": "x", "color": 1}, "unexpected keyword argument 'color'"),
        ({"name": 3}, "name: Input should be a valid string"),
        ({"name": "x", "failures": "many"}, "failures: Input should be a valid integer"),
        ({"name": "a\0b"}, "name: PostgreSQL cannot store the NUL character"),
        ({"name": "\ud800"}, "name: "),
        ({"name": "x", "failures": 2**70}, "failures: Integer exceeds 64-bit range"),
        ({"name": "x" * 1_000_000}, f"are more than {LARGEST}: keep it in a file"),
    ],
)
async def test_wrong_arguments_are_refused_at_once(
    bench: Bench, tenant: uuid.UUID, arguments: dict[str, Any], said: str
) -> None:
    """The caller is told which argument is wrong and why; nothing is written."""
    async with bench.work.begin(tenant_id=tenant) as ctx:
        with pytest.raises(TaskArgumentsError) as refused:
            await enqueue(ctx, chores.mark, **arguments)
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"{chores.mark.name}: ")
    assert len(str(refused.value)) < 300
    count = "select count(*) from outbox_entries where tenant_id = :tenant"
    assert await bench.cluster.rows(bench.database, count, tenant=tenant) == [(0,)]


async def test_what_other_code_enqueued_fails_with_a_reason(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """After a deployment an argument may be missing, unknown or of another type, or the task may be gone."""
    made = task(name=chores.mark.name, retries=0)
    gone = task(name="gone.task", retries=0)(chores.new_arguments)

    async def takes_more(ctx: Context, name: str, later: int = 1) -> None:
        """Stand for newer code."""

    async def takes_text(ctx: Context, name: str, failures: str) -> None:
        """Stand for code that calls another thing by the same name."""

    async def takes_less(ctx: Context) -> None:
        """Stand for older code."""

    for function, arguments, said in (
        (takes_more, {"name": name, "later": 2}, "takes no later: it was enqueued by other code"),
        (takes_text, {"name": name, "failures": "some"}, "failures: Input should be a valid integer"),
        (takes_less, {}, "missing a required argument: 'name': it was enqueued by other code"),
    ):
        state = await bench.see(tenant, made(function), **arguments)
        assert state.status == Status.dead
        assert said in (state.error or "")
    state = await bench.see(tenant, gone, "x", 1)
    assert (state.status, state.error) == (Status.dead, "NameUnknownError: task gone.task is not in this code")
    assert name not in BOARD.seen


def test_a_task_is_declared_well_or_not_at_all() -> None:
    """A function that cannot be called from an entry is refused where it stands."""

    async def without() -> None:
        """Take no Context."""

    async def untyped(ctx: Context, thing) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
        """Take what nobody can read."""

    async def many(ctx: Context, *things: int) -> None:
        """Take any number."""

    async def placed(ctx: Context, thing: int, /) -> None:
        """Take an argument without a name."""

    async def yielding(ctx: Context) -> AsyncIterator[int]:
        """Yield."""
        yield 1

    for function in (without, untyped, many, placed, yielding):
        with pytest.raises(TypeError, match=function.__name__):
            task(function)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="retries=101"):
        task(retries=101)(chores.new_arguments)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"at": dt.datetime(2026, 1, 1)}, "has no time zone"),  # noqa: DTZ001 - the mistake itself
        ({"delay": dt.timedelta(seconds=-1)}, "delay=-1 day"),
        ({"delay": dt.timedelta(days=5000)}, "say 0 to 3650 days"),
        ({"retries": -1}, "retries=-1"),
        ({"unique": ""}, "unique=''"),
        ({"unique": "x" * 201}, "say 1 to 200 characters"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    """Each says what to write instead."""
    with pytest.raises(ValueError, match=said):
        chores.bare.but(**options)


async def test_a_rollback_leaves_nothing(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """A task belongs to its transaction; before the commit its handle knows nothing."""
    handles = []

    async def fail() -> None:
        async with bench.work.begin(tenant_id=tenant) as ctx:
            handles.append(await enqueue(ctx, chores.mark, name))
            with pytest.raises(TaskNotFoundError):
                await handles[0].state()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    with pytest.raises(TaskNotFoundError):
        await handles[0].state()
    await bench.see(tenant, chores.bare)
    assert name not in BOARD.seen


async def test_a_task_runs_for_who_enqueued_it(bench: Bench, tenant: uuid.UUID) -> None:
    """Tenant, actor, the one acted for, request and address travel with it; so they do to what it enqueues."""
    behalf = uuid.uuid4()
    begun = bench.work.begin(tenant_id=tenant, actor_id=WHO, request_id="request-1", address="192.0.2.7")
    async with begun as ctx:
        handle = await enqueue(replace(ctx, on_behalf_of=behalf), chores.whoami)
    assert (await handle.wait(20)).result == {
        "tenant": str(tenant),
        "actor": str(WHO),
        "request": "request-1",
        "behalf": str(behalf),
        "address": "192.0.2.7",
        "entry": str(handle.id),
    }


async def test_system_tasks_keep_to_the_system_tenant(bench: Bench, tenant: uuid.UUID) -> None:
    """One in a tenant, and any without one, are refused with what to do."""
    assert (await bench.see(None, chores.system_chore)).result == "00000000-0000-7000-8000-000000000000"
    async with bench.work.begin(tenant_id=tenant) as ctx:
        with pytest.raises(TaskTenantError, match="enter the system tenant first"):
            await enqueue(ctx, chores.system_chore)
    async with bench.work.begin() as ctx:
        with pytest.raises(TaskTenantError, match="enter a tenant first"):
            await enqueue(ctx, chores.bare)
    assert (await bench.see(None, chores.bare)).status == Status.finished


@pytest.mark.parametrize("chore", [chores.parent, chores.parent_in_thread])
async def test_a_task_may_enqueue_another(bench: Bench, tenant: uuid.UUID, name: str, chore: Any) -> None:
    """From the loop and from a thread."""
    handle = await bench.put(tenant, chore, name)
    state = await handle.wait(20)
    assert state.error is None
    assert (await replace(handle, id=uuid.UUID(state.result)).wait(20)).result == 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("object", "TaskResultError: object: "),
        ("large", f"TaskResultError: str: 1000002 bytes of JSON are more than {LARGEST}"),
        ("nul", "PostgreSQL cannot store the NUL character"),
        ("surrogate", "TaskResultError: str: "),
        ("number", "TaskResultError: int: Integer exceeds 64-bit range"),
        ("endless", "TaskResultError: list: "),
    ],
)
async def test_a_result_that_cannot_be_kept_is_a_failure(bench: Bench, tenant: uuid.UUID, kind: str, said: str) -> None:
    """With the reason."""
    state = await bench.see(tenant, chores.odd, kind)
    assert (state.status, state.result) == (Status.dead, None)
    assert said in (state.error or "")


@pytest.mark.parametrize(("kind", "kept"), [("literal", "\\u0000"), ("nan", None), ("nothing", None)])
async def test_an_odd_result_is_kept(bench: Bench, tenant: uuid.UUID, kind: str, kept: Any) -> None:
    """A backslash is no NUL; what is no number is null."""
    state = await bench.see(tenant, chores.odd, kind)
    assert (state.status, state.result, state.error) == (Status.finished, kept, None)


async def test_a_failure_is_tried_again(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """As often as the task says, or the call; the reason stands without secrets, and goes with success."""
    handle = await bench.put(tenant, chores.mark, name, 2)
    assert await handle.wait(20) == replace(await handle.state(), status=Status.finished, result=3, error=None)
    assert (await bench.entry(handle)).attempts == 3
    state = await bench.see(tenant, chores.mark.but(retries=1), f"{name} again", 2)
    assert (state.status, BOARD.seen.count(f"{name} again")) == (Status.dead, 2)
    assert state.error == f"ValueError: {name} again is not ready: token=[redacted]"


async def test_what_is_hopeless_is_tried_once(bench: Bench, tenant: uuid.UUID) -> None:
    """It is a dead letter at once, with its reason as far as it can be stored, and can be requeued as any other."""
    handle = await bench.put(tenant, chores.hopeless)
    state = await handle.wait(20)
    assert (state.status, state.error) == (Status.dead, r"HopelessError: there is no Empf\udce4nger of that name")
    assert (await bench.entry(handle)).attempts == 1


async def test_a_change_without_an_event_is_a_failure(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """It does not commit; with an event it does."""
    state = await bench.see(tenant, chores.silent)
    assert state.status == Status.dead
    assert (state.error or "").startswith("SilentChangeError: changed projects")
    assert (await bench.see(tenant, chores.create, name)).error is None
    names = "select name from projects where tenant_id = :tenant"
    assert await bench.cluster.rows(bench.database, names, tenant=tenant) == [(name,)]


async def test_progress_shows_while_a_task_runs(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """Reported from within, it is seen before the end."""
    gate = BOARD.gates[name] = asyncio.Event()
    handle = await bench.put(tenant, chores.talkative, name)

    async def reported() -> bool:
        return (await handle.state()).progress is not None

    await eventually(reported)
    state = await handle.state()
    assert (state.status, state.progress) == (Status.started, {"done": 1, "total": 2})
    with pytest.raises(TimeoutError, match="is started after 0 s"):
        await handle.wait(0)
    gate.set()
    state = await handle.wait(20)
    assert (state.status, state.progress, state.result) == (Status.finished, {"done": 1, "total": 2}, "said")


async def test_progress_is_bounded_and_means_nothing_outside(bench: Bench, tenant: uuid.UUID) -> None:
    """A service may report whoever calls it; what JSON cannot hold is refused in a task."""
    async with bench.work.begin(tenant_id=tenant) as ctx:
        await report(ctx, done=object())
        with pytest.raises(ValueError, match="are more than"):
            await report(replace(ctx, entry_id=uuid.uuid4()), text="x" * 1_000_000)


@pytest.mark.parametrize("kind", chores.RAISED)
@pytest.mark.parametrize("chore", [chores.raising, chores.raising_in_thread])
async def test_whatever_a_task_raises_is_its_own_failure(
    bench: Bench, tenant: uuid.UUID, chore: Any, kind: str
) -> None:
    """It ends neither the process nor the relay."""
    state = await bench.see(tenant, chore, kind)
    assert state.status == Status.dead
    said = {
        "cancelled": "RunEscapedError: it cancelled itself",
        "memory": "MemoryError: no more",
        "stop": "RuntimeError: coroutine raised StopIteration",
        "unprintable": "Unprintable: (it does not say)",
    }
    raised = type(chores.RAISED[kind]).__name__
    assert state.error == said.get(kind, f"RunEscapedError: it raised {raised}")


async def test_a_task_that_takes_too_long_is_cut_off(bench: Bench, tenant: uuid.UUID) -> None:
    """What it had done is undone."""
    state = await bench.see(tenant, chores.slow)
    assert state.status == Status.dead
    assert (state.error or "").startswith("RunTimeoutError: it took longer than 0.2 s")
    assert await projects(bench, tenant) == 0


async def test_a_task_that_refuses_to_stop_cannot_commit(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """It is left alone after a while; when it comes to an end after all, its work is undone."""
    gate = BOARD.gates[name] = asyncio.Event()
    state = await bench.see(tenant, chores.stubborn, name)
    assert (state.status, BOARD.seen.count(f"{name} refused")) == (Status.dead, 1)
    (abandoned,) = bench.runner.abandoned
    gate.set()
    await asyncio.wait([abandoned], timeout=20)
    assert (bench.runner.abandoned, await projects(bench, tenant)) == (set(), 0)


async def test_a_thread_that_takes_too_long_is_left_alone(bench: Bench, tenant: uuid.UUID, name: str) -> None:
    """The task is over; what its thread does with the Context afterwards fails."""
    door = BOARD.doors[name] = threading.Event()
    state = await bench.see(tenant, chores.slow_in_thread, name)
    assert (state.error or "").startswith("RunTimeoutError")
    door.set()

    async def told() -> bool:
        return any(str(line).startswith(name) for line in BOARD.seen)

    await eventually(told)
    assert f"{name} enqueued" not in BOARD.seen
    count = "select count(*) from outbox_entries where tenant_id = :tenant"
    assert await bench.cluster.rows(bench.database, count, tenant=tenant) == [(1,)]


async def projects(bench: Bench, tenant: uuid.UUID) -> int:
    """Return how many projects a tenant has."""
    count = "select count(*) from projects where tenant_id = :tenant"
    ((found,),) = await bench.cluster.rows(bench.database, count, tenant=tenant)
    assert isinstance(found, int)
    return found
