"""Carries out entries of the outbox: the same in a worker, and in the API process where tasks are inline."""

import asyncio
import random
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy.exc import DBAPIError

from app.core.context import Context
from app.core.outbox import LEASE, START, Outbox, OutboxEntry
from app.core.unit_of_work import UnitOfWork, finish
from app.exceptions import AppError, HopelessError
from app.extensions.logs import get_logger
from app.extensions.redaction import redact
from app.sections import TaskSettings

BEAT = 5.0
"""Seconds between two signs of life of a run."""

GRACE = 5.0
"""Seconds that a run which was told to stop has for its end; then nobody waits for it any more."""

LONGEST_ERROR = 1000
CHANCE = random.SystemRandom()

log = get_logger(__name__)


class Runnable(Protocol):
    """Something that an entry can name."""

    @property
    def timeout(self) -> float:
        """Return how many seconds a run may take."""

    async def run(self, ctx: Context, entry: OutboxEntry) -> Any:
        """Do it, in the unit of work of the Context, which commits its effect and its end together."""


Name = tuple[str, str | None]
"""How an entry names what it asks for: the task, or the handler and the event's action."""


class NameUnknownError(Exception):
    """No handler or task of this name is in this code: it was renamed, removed, or is not deployed here yet."""


class RunTimeoutError(Exception):
    """A run took longer than it may."""


class RunEscapedError(Exception):
    """A run wanted to end more than itself: it raised SystemExit or the like, or cancelled itself."""


class RunFailedError(Exception):
    """A run failed and will be tried again, unless it is dead now; the message says why it failed."""


def registry(named: Iterable[tuple[Name, Runnable]]) -> dict[Name, Runnable]:
    """Return everything that an entry can name; raises TypeError for a name that stands for two."""
    found: dict[Name, Runnable] = {}
    for name, runnable in named:
        if found.setdefault(name, runnable) is not runnable:
            raise TypeError(f"the outbox would not know which {name[0]} is meant: rename one")
    return found


class Runner:
    """Runs entries, each in a unit of work as the tenant and for the person that it names."""

    def __init__(
        self,
        work: UnitOfWork,
        runnables: Mapping[Name, Runnable],
        config: TaskSettings,
        *,
        beat_seconds: float = BEAT,
        grace: float = GRACE,
    ) -> None:
        self.work, self.runnables, self.config = work, runnables, config
        self.beat_seconds, self.grace = beat_seconds, grace
        self.abandoned: set[asyncio.Task[Any]] = set()

    async def run(self, tenant_id: uuid.UUID, entry_id: uuid.UUID) -> bool:
        """Begin an attempt and see it to its end; False when there was nothing to do.

        Safe to call twice for one entry, also at once: one of them works. What a run raises is kept with the entry,
        which is tried again later or is dead, and `RunFailedError` is raised. A cancelled run gives its entry back.
        """
        entry = await self.start(tenant_id, entry_id)
        if entry is None:
            return False
        try:
            await self.attend(entry)
        except asyncio.CancelledError:
            await finish(self.end(entry, lambda outbox: outbox.give_back(entry)))
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the entry's failure and nobody else's
            await self.fail(entry, error)
            raise RunFailedError(f"{entry.name}: {describe(error)}") from None
        log.info("run", name=entry.name, entry_id=str(entry.id), attempt=entry.attempts)
        return True

    async def start(self, tenant_id: uuid.UUID, entry_id: uuid.UUID) -> OutboxEntry | None:
        """Begin an attempt, and return the entry; None when it is done, discarded, or under way elsewhere."""
        row = await self.work.alone(START, {"tenant": tenant_id, "entry": entry_id, "lease": LEASE})
        return OutboxEntry(**row) if row else None

    async def attend(self, entry: OutboxEntry) -> None:
        """Carry an entry out, with signs of life meanwhile and a limit of time."""
        runnable = self.runnables.get((entry.name, entry.action))
        if runnable is None:
            raise NameUnknownError(f"{entry.kind} {entry.name} is not in this code")
        job = asyncio.create_task(self.perform(runnable, entry), name=entry.name)
        beat = asyncio.create_task(self.beat(entry))
        try:
            await asyncio.wait({job, beat}, timeout=runnable.timeout, return_when=asyncio.FIRST_COMPLETED)
        finally:
            beat.cancel()
            overran = not job.done()
            if overran:
                await self.cut_off(job)
        if not overran:
            if job.cancelled():
                raise RunEscapedError("it cancelled itself")
            job.result()
        elif not job.done() or job.cancelled() or job.exception():
            raise RunTimeoutError(f"it took longer than {runnable.timeout:g} s, or was taken over meanwhile")

    async def perform(self, runnable: Runnable, entry: OutboxEntry) -> None:
        """Do what the entry says, and commit its effect together with its end."""
        async with self.work.begin(
            tenant_id=entry.tenant_id, actor_id=entry.actor_id, request_id=entry.request_id, address=entry.address
        ) as begun:
            ctx = replace(begun, on_behalf_of=entry.on_behalf_of, entry_id=entry.id)
            try:
                result = await runnable.run(ctx, entry)
            except (Exception, asyncio.CancelledError):
                raise
            except BaseException as error:
                raise RunEscapedError(f"it raised {type(error).__name__}") from error
            await Outbox(ctx).finish(entry, result)

    async def beat(self, entry: OutboxEntry) -> None:
        """Give signs of life; return when the entry is another's. A database that is away is asked again."""
        while True:
            await asyncio.sleep(self.beat_seconds)
            with suppress(AppError):
                async with self.work.begin(tenant_id=entry.tenant_id) as ctx:
                    if not await Outbox(ctx).extend(entry):
                        return

    async def cut_off(self, job: asyncio.Task[Any]) -> None:
        """Cancel a run; one that goes on regardless is left alone: it cannot commit, as its attempt is over."""
        job.cancel()
        await asyncio.wait({job}, timeout=self.grace)
        if not job.done():
            log.error("run_abandoned", name=job.get_name())
            self.abandoned.add(job)
            job.add_done_callback(self.forget)

    def forget(self, job: asyncio.Task[Any]) -> None:
        """Drop a run that ended after all; what it raised is of no interest."""
        self.abandoned.discard(job)
        if not job.cancelled():
            job.exception()

    async def fail(self, entry: OutboxEntry, error: Exception) -> None:
        """Keep why an attempt failed, and when the next one is due; after a `HopelessError` there is none."""
        wait = min(self.config.retry_longest_seconds, self.config.retry_seconds * 2.0 ** (entry.attempts - 1))
        delay = None if isinstance(error, HopelessError) else wait * CHANCE.uniform(0.5, 1.5)
        why = describe(error)
        log.warning("run_failed", name=entry.name, entry_id=str(entry.id), attempt=entry.attempts, exc_info=error)
        await self.end(entry, lambda outbox: outbox.fail(entry, why, delay))

    async def end(self, entry: OutboxEntry, step: Callable[[Outbox], Coroutine[Any, Any, None]]) -> None:
        """Write how an attempt ended, in a transaction of its own."""
        async with self.work.begin(tenant_id=entry.tenant_id) as ctx:
            await step(Outbox(ctx))


def describe(error: Exception) -> str:
    """Return what a failure is, for the people of the tenant: no SQL, no traceback, no secret, and storable.

    A text column holds neither NUL nor half a character, and what a server said may hold both.
    """
    if isinstance(error, AppError):
        said = str(error)
    elif isinstance(error, DBAPIError):
        said = f"{type(error.orig).__name__}: the database refused a statement"
    else:
        said = f"{type(error).__name__}: {printed(error)}"
    storable = said.replace("\0", "").encode("utf-8", "backslashreplace").decode()
    return redact(storable)[:LONGEST_ERROR]


def printed(error: Exception) -> str:
    """Return what an exception says of itself; one that fails at that must not take the run's end with it."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - whatever a foreign class raises
        return "(it does not say)"
