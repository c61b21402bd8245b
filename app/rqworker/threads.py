"""Threads for plain functions, which may be left behind: a daemon each, used again unless it was interrupted."""

import asyncio
import contextlib
import contextvars
import ctypes
import itertools
import queue
import threading
from collections.abc import Callable
from typing import Any

from rq.timeouts import BaseDeathPenalty, JobTimeoutException

Call = Callable[[], Any]
Outcome = tuple[Any, BaseException | None]
_Work = tuple[Call, contextvars.Context, "asyncio.Future[Outcome]"]

NUMBERS = itertools.count(1)


def raise_in_thread(thread: int, error: type[BaseException] | None) -> bool:
    """Have a thread raise `error` at its next bytecode, or no longer (None); False when there is no such thread.

    A thread inside C code raises when it comes back from it, which may be never.
    """
    raised = ctypes.py_object(error) if error is not None else None
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), raised))


def timeout_error(seconds: float, base: type[BaseException] = JobTimeoutException) -> type[BaseException]:
    """Return a class whose instances carry RQ's message: a thread is given a class to raise, not an instance."""
    message = f"Task exceeded maximum timeout value ({seconds:g} seconds)"
    return type(base.__name__, (base,), {"__module__": base.__module__, "__str__": lambda _: message})


class ThreadDeathPenalty(BaseDeathPenalty):
    """A timeout for callbacks in any thread; RQ's own needs the main thread, or rewrites a class that all share."""

    def __init__(
        self, timeout: float | None, exception: type[BaseException] = JobTimeoutException, **kwargs: Any
    ) -> None:
        super().__init__(timeout, exception, **kwargs)  # type: ignore[no-untyped-call] # RQ's has no types
        self._seconds = timeout or 0
        self._error = timeout_error(self._seconds, exception)
        self._timer: threading.Timer | None = None

    def setup_death_penalty(self) -> None:
        """Start the timer."""
        if self._seconds > 0:
            self._timer = threading.Timer(self._seconds, raise_in_thread, (threading.get_ident(), self._error))
            self._timer.daemon = True
            self._timer.start()

    def cancel_death_penalty(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class JobThread(threading.Thread):
    """A thread that runs one call after the other; `interrupt` ends the call it is in, and then the thread."""

    def __init__(self, idle: list["JobThread"]) -> None:
        super().__init__(name=f"rq-job-{next(NUMBERS)}", daemon=True)
        self._idle = idle
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._given = self._busy = self._interrupted = False
        self._early: type[BaseException] | None = None

    def give(self, call: Call, context: contextvars.Context, done: "asyncio.Future[Outcome]") -> None:
        """Run a call next; `done` gets its outcome, on the loop it belongs to."""
        self._given = True
        self._work.put((call, context, done))

    def leave(self) -> None:
        """End when there is nothing to do."""
        self._work.put(None)

    def interrupt(self, error: type[BaseException]) -> None:
        """Raise an error in the call, or in its place when it has not begun; nothing happens when it just ended.

        The thread is not used again.
        """
        with self._lock:
            if not self._given:
                return
            self._interrupted = True
            if self._busy and self.ident is not None:
                raise_in_thread(self.ident, error)
            else:
                self._early = error

    def run(self) -> None:
        """Run calls until the thread is interrupted or told to leave."""
        while (work := self._work.get()) is not None:
            call, context, done = work
            try:
                outcome = self._begin() or perform(call, context)
                self._end()
            except BaseException as error:  # noqa: BLE001 - an interruption just before or after the call
                outcome = None, error
                self._end()
            interrupted = self._interrupted
            if not interrupted:
                self._idle.append(self)
            with contextlib.suppress(RuntimeError):  # the loop was closed, nobody waits
                done.get_loop().call_soon_threadsafe(deliver, done, outcome)
            if interrupted:
                return

    def _begin(self) -> Outcome | None:
        """Take note that the call begins; return its outcome when it was interrupted before."""
        with self._lock:
            self._busy = True
            return (None, self._early()) if self._early else None

    def _end(self) -> None:
        """Take note that the call is over, and take back an interruption that was not raised yet."""
        with self._lock:
            self._given = self._busy = False
            if self._interrupted:
                raise_in_thread(threading.get_ident(), None)


def perform(call: Call, context: contextvars.Context) -> Outcome:
    """Run a call; whatever it raises is part of the outcome, also an interruption that comes as it ends."""
    try:
        try:
            return context.run(call), None
        except BaseException as error:  # noqa: BLE001 - the job's code may raise anything
            return None, error
    except BaseException as late:  # noqa: BLE001 - see above
        return None, late


def deliver(done: "asyncio.Future[Outcome]", outcome: Outcome) -> None:
    """Hand an outcome over, unless nobody waits any more."""
    if not done.done():
        done.set_result(outcome)


class Threads:
    """As many threads as calls run at once. An executor would wait for one that never ends, also at exit."""

    def __init__(self) -> None:
        self._idle: list[JobThread] = []

    def start(self, call: Call) -> tuple[JobThread, "asyncio.Future[Outcome]"]:
        """Run a call in a thread, in a copy of this context; return both."""
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = JobThread(self._idle)
            thread.start()
        done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        thread.give(call, contextvars.copy_context(), done)
        return thread, done

    def close(self) -> None:
        """Let idle threads end; those that work end alone."""
        while self._idle:
            self._idle.pop().leave()
