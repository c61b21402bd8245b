"""Runs what a job asks for: coroutine functions on the loop, plain functions in threads; each can be ended alone."""

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Any

from rq.exceptions import ShutDownImminentException
from rq.job import Job, _current_job

from app.rqworker.running import Ended, Running
from app.rqworker.threads import Threads, timeout_error

Resolve = Callable[[Job], Callable[[], Any]]
Report = Callable[[Ended], None]

STOPPED_THREAD = 0.2
"""Seconds that a thread has to end when its job is stopped."""

log = logging.getLogger("rq.worker")


def is_coroutine_function(call: Callable[..., Any]) -> bool:
    """Tell whether a call is to be awaited; an object whose `__call__` is a coroutine function is one, too."""
    return inspect.iscoroutinefunction(call) or inspect.iscoroutinefunction(type(call).__call__)


class Interrupted(ShutDownImminentException):
    """The function was told to end: its job was stopped, or the worker left."""

    def __init__(self) -> None:
        super().__init__("The job was told to end", {})  # type: ignore[no-untyped-call] # RQ's has no types


class Calls:
    """Starts a call for each execution and reports its end, once: its own, or that it would not end.

    An interruption cancels the task, or raises in the thread. A function that goes on for `patience` seconds more is
    abandoned: it is reported as ended, its place is free, and what it does later is only logged.
    """

    def __init__(
        self, resolve: Resolve, encode: Callable[[Job, Any], str | None], report: Report, patience: float
    ) -> None:
        self.threads = Threads()
        self.abandoned: set[asyncio.Task[None]] = set()
        """Tasks that swallowed their cancellation; held, so that they are not collected while they run."""
        self._resolve = resolve
        self._encode = encode
        self._report = report
        self._patience = patience

    def start(self, item: Running) -> None:
        """Begin an execution; its task carries the job's id as its name."""
        loop = asyncio.get_running_loop()
        limit = item.job.timeout or item.queue.DEFAULT_TIMEOUT
        if limit > 0:
            item.timer = loop.call_later(limit, self.overrun, item, limit)
        item.task = loop.create_task(self._run(item), name=item.job.id)

    def overrun(self, item: Running, limit: float) -> None:
        """End an execution that took longer than its timeout."""
        error = timeout_error(limit)
        self.interrupt(item, error(), error)

    def stop(self, item: Running) -> None:
        """End an execution because somebody asked to stop the job. A thread has little time: RQ would kill it."""
        item.stopped = True
        patience = min(self._patience, STOPPED_THREAD) if item.thread is not None else self._patience
        self.interrupt(item, Interrupted(), patience=patience)

    def shut(self, item: Running) -> None:
        """End an execution because the worker leaves."""
        self.interrupt(item, ShutDownImminentException("Worker was shut down before the job ended", {}))

    def interrupt(
        self,
        item: Running,
        cause: BaseException,
        kind: type[BaseException] | None = None,
        patience: float | None = None,
    ) -> None:
        """Tell a function to end; the first cause counts. Thread-safe it is not: call it on the loop."""
        if item.ended or item.cause is not None or item.task is None:
            return
        item.cause = cause
        if item.timer is not None:
            item.timer.cancel()
        item.timer = asyncio.get_running_loop().call_later(patience or self._patience, self._abandon, item)
        if item.thread is not None:
            item.thread.interrupt(kind or Interrupted)
        else:
            item.task.cancel()

    async def _run(self, item: Running) -> None:
        _current_job.set(item.job)
        value: Any = None
        encoded: str | None = None
        error: BaseException | None = None
        try:
            value = await self._call(item)
            encoded = self._encode(item.job, value)
        except BaseException as raised:  # noqa: BLE001 - the job's code may raise anything, SystemExit included
            error = raised
        if item.abandoned:
            log.warning("Job %s, which was abandoned: nobody waits for it any more", item.job.id)
            return
        item.settle()
        if error is not None and item.cause is not None:
            interrupted = isinstance(error, asyncio.CancelledError | Interrupted)
            error = chained(item.cause, error) if interrupted else error
        self._report(Ended(item, value, error, encoded))

    async def _call(self, item: Running) -> Any:
        call = self._resolve(item.job)
        if is_coroutine_function(call):
            return await call()
        item.thread, done = self.threads.start(call)
        try:
            value, error = await done
        finally:
            item.thread = None
        if error is not None:
            raise error
        return await value if inspect.isawaitable(value) else value

    def _abandon(self, item: Running) -> None:
        """Report the end of an execution whose function would not end."""
        item.abandoned = item.ended = True
        item.timer = None
        where = f"its thread ({item.thread.name})" if item.thread is not None else "its task"
        note = f"The function did not end when it was told to; {where} was abandoned and may still run."
        log.critical("Job %s: %s", item.job.id, note)
        task, cause = item.task, item.cause
        if cause is None or task is None:
            raise RuntimeError("an execution is abandoned only after it was interrupted")
        cause.add_note(note)
        if not task.done():
            self.abandoned.add(task)
            task.add_done_callback(self.abandoned.discard)
        if item.thread is not None:
            task.cancel()  # it only waits for the thread
        self._report(Ended(item, error=cause))


def chained(cause: BaseException, error: BaseException) -> BaseException:
    """Return the cause of an interruption with the place where it struck."""
    cause.__cause__ = error
    return cause.with_traceback(error.__traceback__)
