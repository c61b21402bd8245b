"""Tasks: functions that run later, or elsewhere, for the caller who asked.

    @task(retries=3)
    async def export_projects(ctx: Context, status: ProjectStatus | None = None) -> dict[str, str]: ...

    handle = await enqueue(ctx, export_projects, status=ProjectStatus.active)
    handle = await enqueue(ctx, export_projects.but(queue="low", delay=dt.timedelta(hours=1)))

A task is written into the outbox by the transaction of its Context: rolled back, it never was. It runs in a unit of
work of its own, for the same tenant and person, in a worker or inline, and has the same handle and status in both.
"""

import asyncio
import datetime as dt
import inspect
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Concatenate, Generic, ParamSpec, get_type_hints, overload

import anyio.from_thread
import anyio.to_thread
from pydantic import TypeAdapter
from sqlalchemy import func

from app.core.context import Context
from app.core.exceptions import TaskArgumentsError, TaskNotFoundError, TaskResultError, TaskTenantError
from app.core.outbox import Kind, Outbox, OutboxEntry, Status
from app.core.payloads import checked, read, refuse_unkept, to_values
from app.core.reactions import name_of
from app.db.tenancy import SYSTEM_TENANT_ID
from app.extensions.logs import get_logger
from app.utils.helpers import uuid7

P = ParamSpec("P")
Function = Callable[Concatenate[Context, P], Any]

OVER = frozenset({Status.finished, Status.dead, Status.discarded})
FIRST_LOOK, LONGEST_LOOK = 0.01, 0.5
"""Seconds between two looks of a handle at its entry; doubled each time."""

MOST_RETRIES = 100
LONGEST_DELAY = dt.timedelta(days=3650)
LONGEST_KEY = 200

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How one call differs: `unique` is a key of which one entry of a task can wait at a time.

    Raises ValueError for what cannot be meant: a moment without a zone, a delay into the past, an empty key.
    """

    queue: str
    retries: int
    delay: dt.timedelta = dt.timedelta(0)
    at: dt.datetime | None = None
    depends_on: tuple[uuid.UUID, ...] = ()
    unique: str | None = None

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if not 0 <= self.retries <= MOST_RETRIES:
            raise ValueError(f"retries={self.retries}: say 0 to {MOST_RETRIES}")
        if not dt.timedelta(0) <= self.delay <= LONGEST_DELAY:
            raise ValueError(f"delay={self.delay}: say 0 to {LONGEST_DELAY.days} days")
        if self.at is not None and self.at.utcoffset() is None:
            raise ValueError(f"at={self.at.isoformat()} has no time zone: say dt.datetime(..., tzinfo=dt.UTC)")
        if self.unique is not None and not 1 <= len(self.unique) <= LONGEST_KEY:
            raise ValueError(f"unique={self.unique[:20]!r}: say 1 to {LONGEST_KEY} characters")


@dataclass(frozen=True, slots=True, eq=False)
class Task(Generic[P]):
    """A function that can be enqueued, under a name that must outlive a deployment; `timeout` is seconds a run.

    A plain function runs in a thread; it must leave the session of its Context alone, and reaches the loop by
    `anyio.from_thread.run`. A task without a tenant is `system`: it runs in the system tenant.
    """

    function: Function[P]
    name: str
    options: Options
    timeout: float
    system: bool
    readers: Mapping[str, TypeAdapter[Any]] = field(repr=False)

    def but(
        self,
        *,
        queue: str | None = None,
        retries: int | None = None,
        delay: dt.timedelta = dt.timedelta(0),
        at: dt.datetime | None = None,
        depends_on: Sequence["Handle"] = (),
        unique: str | None = None,
    ) -> "Task[P]":
        """Return the task with other options for a call: `at` is a moment, `delay` counts from now or from `at`."""
        options = Options(
            queue=queue or self.options.queue,
            retries=self.options.retries if retries is None else retries,
            delay=delay,
            at=at,
            depends_on=tuple(handle.id for handle in depends_on),
            unique=unique,
        )
        return replace(self, options=options)

    def pack(self, *args: P.args, **kwargs: P.kwargs) -> dict[str, Any]:
        """Return the arguments as JSON values, checked; raises `TaskArgumentsError`."""
        try:
            given = inspect.signature(self.function).bind(None, *args, **kwargs).arguments
        except TypeError as error:
            raise TaskArgumentsError(f"{self.name}: {error}") from None
        packed = {}
        for name in [*given][1:]:
            try:
                packed[name] = checked(given[name], self.readers[name])
                refuse_unkept(packed)
            except ValueError as error:
                raise TaskArgumentsError(f"{self.name}: {name}: {error}") from None
        return packed

    def unpack(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that were packed, in their types; raises `TaskArgumentsError` for what does not fit.

        What was enqueued before a deployment may lack an argument, or bring one that the function takes no more.
        """
        found = {}
        for name, value in payload.items():
            if name not in self.readers:
                raise TaskArgumentsError(f"{self.name} takes no {name}: it was enqueued by other code")
            try:
                found[name] = read(value, self.readers[name])
            except ValueError as error:
                raise TaskArgumentsError(f"{self.name}: {name}: {error}") from None
        try:
            inspect.signature(self.function).bind(None, **found)
        except TypeError as error:
            raise TaskArgumentsError(f"{self.name}: {error}: it was enqueued by other code") from None
        return found

    async def run(self, ctx: Context, entry: OutboxEntry) -> Any:
        """Call the function with the arguments of an entry; return its result as JSON values.

        Raises `TaskResultError` for a result that JSON or the outbox cannot hold, and whatever the function raises.
        """
        call: Callable[[], Any] = partial(self.function, ctx, **self.unpack(entry.payload))
        result = await call() if inspect.iscoroutinefunction(self.function) else await self.run_in_thread(call)
        try:
            values = to_values(result)
            refuse_unkept(values)
        except ValueError as error:
            raise TaskResultError(f"{type(result).__name__}: {error}") from None
        return values

    async def run_in_thread(self, call: Callable[[], Any]) -> Any:
        """Call a plain function; cancelled, leave it to itself: nothing ends a thread, and its session is closed."""
        try:
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        except asyncio.CancelledError:
            log.warning("thread_abandoned", name=self.name)
            raise


@overload
def task(function: Function[P], /) -> Task[P]: ...
@overload
def task(
    *,
    name: str | None = None,
    queue: str = "default",
    retries: int = 3,
    timeout: float = 600.0,
    system: bool = False,
) -> Callable[[Function[P]], Task[P]]: ...
def task(
    function: Function[P] | None = None,
    *,
    name: str | None = None,
    queue: str = "default",
    retries: int = 3,
    timeout: float = 600.0,
    system: bool = False,
) -> Task[P] | Callable[[Function[P]], Task[P]]:
    """Make a function a task; raises TypeError for one whose first parameter is no Context, or with untyped ones.

    A run is cut off after `timeout` seconds. A plain function cannot be: its effects on the database are undone, but
    its thread goes on.
    """

    def make(function: Function[P]) -> Task[P]:
        options = Options(queue=queue, retries=retries)
        return Task(function, name or name_of(function), options, timeout, system, readers_of(function))

    return make(function) if function else make


def readers_of(function: Callable[..., Any]) -> dict[str, TypeAdapter[Any]]:
    """Return how to read each parameter but the first, which is the Context."""
    hints = get_type_hints(function, include_extras=True)
    parameters = [*inspect.signature(function).parameters.values()]
    if not parameters or hints.get(parameters[0].name) is not Context:
        raise TypeError(f"{function.__qualname__}: the first parameter of a task is `ctx: Context`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(f"{function.__qualname__} yields: a task returns")
    others = parameters[1:]
    for one in others:
        if one.name not in hints or one.kind in {one.POSITIONAL_ONLY, one.VAR_POSITIONAL, one.VAR_KEYWORD}:
            raise TypeError(f"{function.__qualname__}: {one} needs a name and a type of its own")
    return {one.name: TypeAdapter(hints[one.name]) for one in others}


@dataclass(frozen=True, slots=True)
class TaskState:
    """Where a task stands; `progress` is what it reported last, `error` why its last attempt failed."""

    status: Status
    progress: dict[str, Any] | None
    result: Any
    error: str | None


@dataclass(frozen=True, slots=True)
class Handle:
    """An enqueued task. What it tells is read anew, once the transaction that enqueued it is committed."""

    ctx: Context
    id: uuid.UUID

    async def state(self) -> TaskState:
        """Return where the task stands; raises `TaskNotFoundError` before the commit, and after its retention."""
        async with self.ctx.reader() as reader:
            entry = await Outbox(reader).find(self.id)
        if entry is None:
            raise TaskNotFoundError
        return TaskState(Status(entry.status), entry.progress, entry.result, entry.error)

    async def wait(self, seconds: float | None = None) -> TaskState:
        """Return the state once the task is over; raises TimeoutError after so many seconds."""
        pause, since = FIRST_LOOK, time.monotonic()
        while (state := await self.state()).status not in OVER:
            if seconds is not None and time.monotonic() - since > seconds:
                raise TimeoutError(f"task {self.id} is {state.status} after {seconds:g} s")
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_LOOK)
        return state


async def enqueue(ctx: Context, task: Task[P], *args: P.args, **kwargs: P.kwargs) -> Handle:
    """Let a task run once this transaction is committed, for the same tenant and person; return its handle.

    With `unique`, an entry of that key that is not over yet is returned instead of a second one. Raises
    `TaskTenantError` for a task without a tenant that is not `system`, `TaskArgumentsError` for arguments that do not
    fit, and `TaskNotFoundError` for a dependency that is gone.
    """
    if ctx.tenant_id is None or (task.system and ctx.tenant_id != SYSTEM_TENANT_ID):
        raise TaskTenantError(f"{task.name}: enter {'the system tenant' if task.system else 'a tenant'} first")
    options, outbox = task.options, Outbox(ctx)
    deferred = await outbox.unfinished(options.depends_on) if options.depends_on else False
    due = func.now() if options.at is None else options.at
    entry = OutboxEntry(
        id=uuid7(),
        tenant_id=ctx.tenant_id,
        kind=Kind.task,
        name=task.name,
        queue=options.queue,
        status=Status.deferred if deferred else Status.queued,
        payload=task.pack(*args, **kwargs),
        max_attempts=options.retries + 1,
        due_at=due + options.delay,
        depends_on=list(options.depends_on),
        unique_key=options.unique,
    )
    if options.unique is None:
        await outbox.add([entry])
        return Handle(ctx, entry.id)
    return Handle(ctx, await outbox.add_unique(entry))


def enqueue_sync(ctx: Context, task: Task[P], *args: P.args, **kwargs: P.kwargs) -> Handle:
    """Do the same from a thread of the loop: a plain function that is a task, or a view without `async`."""

    async def inside() -> Handle:
        return await enqueue(ctx, task, *args, **kwargs)

    return anyio.from_thread.run(inside)


async def report(ctx: Context, **progress: Any) -> None:
    """Show how far the task of this Context is, say `done=10, total=200`; seen at once, whatever becomes of the task.

    Outside of a task it does nothing, so that a service may report whoever calls it. Raises ValueError for values that
    JSON cannot hold.
    """
    if ctx.entry_id is not None:
        values = to_values(progress)
        refuse_unkept(values)
        async with ctx.separate() as beside:
            await Outbox(beside).report(ctx.entry_id, values)
