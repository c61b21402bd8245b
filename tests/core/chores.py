"""Tasks for tests: each does one thing, well or badly."""

import asyncio
import datetime as dt
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from app.core.context import Context
from app.core.tasks import Task, enqueue, enqueue_sync, report, task
from app.exceptions import HopelessError
from app.modules.projects.models import Project
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from app.utils.schemas import InputSchema


class Color(StrEnum):
    """An enumeration to pass."""

    red = "red"


class Parcel(InputSchema):
    """A schema to pass."""

    weight: Decimal
    due: dt.date


@dataclass
class Board:
    """What tasks wrote down, and what they wait for."""

    seen: list[Any] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=dict)
    doors: dict[str, threading.Event] = field(default_factory=dict)


BOARD = Board()


@task(retries=0)
async def typed(  # noqa: PLR0917 - one of each kind
    ctx: Context,
    number: int,
    moment: dt.datetime,
    who: uuid.UUID,
    color: Color,
    parcel: Parcel,
    names: set[str],
    pause: dt.timedelta = dt.timedelta(seconds=1),
    note: bytes | None = None,
) -> dict[str, Any]:
    """Return the types and values that came."""
    given = {**locals()}
    del given["ctx"]
    return {name: [type(value).__name__, value] for name, value in given.items()}


@task(retries=0)
def threaded(ctx: Context, number: int) -> dict[str, Any]:
    """Return where it ran."""
    return {"number": number, "main": threading.current_thread() is threading.main_thread()}


@task(retries=0)
async def bare(ctx: Context) -> None:
    """Do nothing."""


@task(retries=0)
async def whoami(ctx: Context) -> dict[str, Any]:
    """Return for whom it runs."""
    return {
        "tenant": ctx.tenant_id,
        "actor": ctx.actor_id,
        "request": ctx.request_id,
        "behalf": ctx.on_behalf_of,
        "address": ctx.address,
        "entry": ctx.entry_id,
    }


@task(retries=2)
async def mark(ctx: Context, name: str, failures: int = 0) -> int:
    """Write a name down; fail so many times first."""
    BOARD.seen.append(name)
    if BOARD.seen.count(name) <= failures:
        raise ValueError(f"{name} is not ready: token=abcdef123456")
    return BOARD.seen.count(name)


@task(retries=0)
async def gated(ctx: Context, gate: str) -> None:
    """Wait for a gate."""
    BOARD.seen.append(gate)
    await BOARD.gates[gate].wait()


@task(retries=0)
async def silent(ctx: Context) -> None:
    """Change a row, and tell nobody."""
    ctx.session.add(Project(name="silent", description="", created_by=uuid.uuid4()))


@task(retries=0)
async def create(ctx: Context, name: str) -> uuid.UUID:
    """Create a project, as a service does."""
    return (await ProjectService(ctx).create(ProjectCreate(name=name))).id


@task(retries=0)
async def parent(ctx: Context, name: str) -> uuid.UUID:
    """Enqueue another task."""
    return (await enqueue(ctx, mark, name)).id


@task(retries=0)
def parent_in_thread(ctx: Context, name: str) -> uuid.UUID:
    """Enqueue another task from a thread."""
    return enqueue_sync(ctx, mark, name).id


@task(retries=0)
async def talkative(ctx: Context, gate: str) -> str:
    """Report, and wait."""
    await report(ctx, done=1, total=2)
    BOARD.seen.append(gate)
    await BOARD.gates[gate].wait()
    return "said"


def endless() -> list[Any]:
    """Return a list that holds itself."""
    found: list[Any] = []
    found.append(found)
    return found


ODD: dict[str, Callable[[], Any]] = {
    "object": object,
    "large": lambda: "x" * 1_000_000,
    "nul": lambda: "a\0b",
    "surrogate": lambda: "\ud800",
    "number": lambda: 2**70,
    "endless": endless,
    "literal": lambda: "\\u0000",
    "nan": lambda: float("nan"),
    "nothing": lambda: None,
}


@task(retries=0)
async def odd(ctx: Context, kind: str) -> Any:
    """Return something odd."""
    return ODD[kind]()


RAISED: dict[str, BaseException] = {
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "cancelled": asyncio.CancelledError(),
    "memory": MemoryError("no more"),
    "generator": GeneratorExit(),
    "stop": StopIteration(1),
    "group": BaseExceptionGroup("many", [SystemExit(1)]),
    "unprintable": type("Unprintable", (Exception,), {"__str__": lambda _: 1 / 0})(),
}


@task(retries=8)
async def hopeless(ctx: Context) -> None:
    """Fail for good, with what a server said in an encoding of its own."""
    raise HopelessError("there is no Empf\udce4nger of that name\0")


@task(retries=0)
async def raising(ctx: Context, kind: str) -> None:
    """Raise something that is more than a failure."""
    raise RAISED[kind]


@task(retries=0)
def raising_in_thread(ctx: Context, kind: str) -> None:
    """Do so in a thread."""
    raise RAISED[kind]


@task(retries=0, timeout=0.2)
async def slow(ctx: Context) -> None:
    """Take too long."""
    await ProjectService(ctx).create(ProjectCreate(name="slow"))
    await asyncio.sleep(60)


@task(retries=0, timeout=1.0)
async def stubborn(ctx: Context, gate: str) -> None:
    """Take too long, and refuse to be cancelled."""
    await ProjectService(ctx).create(ProjectCreate(name="stubborn"))
    while not BOARD.gates[gate].is_set():
        try:
            await BOARD.gates[gate].wait()
        except asyncio.CancelledError:
            BOARD.seen.append(f"{gate} refused")


@task(retries=0, timeout=0.2)
def slow_in_thread(ctx: Context, door: str) -> None:
    """Take too long in a thread, then enqueue something all the same."""
    BOARD.doors[door].wait(20)
    try:
        enqueue_sync(ctx, mark, f"{door} after all")
    except BaseException as error:
        BOARD.seen.append(f"{door} {type(error).__name__}")
        raise
    BOARD.seen.append(f"{door} enqueued")


@task(retries=0, system=True)
async def system_chore(ctx: Context) -> uuid.UUID | None:
    """Run in the system tenant."""
    return ctx.tenant_id


def new_arguments(ctx: Context, name: str, needed: int) -> None:
    """Stand for what `mark` might become after a deployment."""


CHORES: list[Task[Any]] = [
    typed, threaded, bare, whoami, mark, gated, silent, create, parent, parent_in_thread, talkative, odd, raising,
    raising_in_thread, slow, stubborn, slow_in_thread, system_chore, hopeless,
]  # fmt: skip
