"""How a worker is told to end: itself, or some of what it runs; by a signal, a command of RQ's, or on its loop."""

import asyncio
import contextlib
import functools
import json
import signal
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from rq.utils import now
from rq.worker import BaseWorker

from app.rqworker.calls import Calls
from app.rqworker.clients import OUTAGES
from app.rqworker.exchange import Exchange

LAST_WORDS = 10
"""Seconds that results have to be saved after the last job ended, when Redis is away as the worker leaves."""


class ControlledWorker(BaseWorker):
    """Takes orders from any thread, and carries them out on the loop."""

    patience: float
    _loop: asyncio.AbstractEventLoop | None = None
    _exchange: Exchange | None = None
    _calls: Calls | None = None
    _left: asyncio.Event | None = None
    _cold = False
    _noted: "asyncio.Future[None] | None" = None

    def request_stop(
        self,
        signum: Any = None,  # noqa: ARG002 - RQ's signature, of a signal handler
        frame: Any = None,  # noqa: ARG002
        *,
        grace: float | None = None,
        cold: bool = False,
    ) -> None:
        """Take no more jobs and leave when those that run have ended, or after `grace` seconds. Safe from any thread.

        What still runs then, or at once when `cold`, is told to end, and fails or is retried. Twice is once.
        """
        loop = self._loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(functools.partial(self._stop, grace=grace, cold=cold))

    async def stop(self, grace: float | None = None) -> None:
        """Ask for a stop as `request_stop` does, and wait until the worker has left."""
        self.request_stop(grace=grace)
        if self._left is not None:
            await self._left.wait()

    def _stop(self, *, grace: float | None, cold: bool) -> None:
        exchange, loop = self._exchange, self._loop
        if exchange is None or loop is None:
            return
        if not self._stop_requested:
            self._stop_requested = True
            self._shutdown_requested_date = now()
            self.handle_warm_shutdown_request()
            self._noted = loop.run_in_executor(None, self._note_shutdown)
        exchange.stopping = True
        if grace is not None:
            loop.call_later(grace, self._turn_cold)
        if cold:
            self._turn_cold()
        exchange.wake(hungry=False)

    def _note_shutdown(self) -> None:
        with contextlib.suppress(*OUTAGES):
            self.set_shutdown_requested_date()

    def _turn_cold(self) -> None:
        exchange, calls, loop = self._exchange, self._calls, self._loop
        if self._cold or exchange is None or calls is None or loop is None or not exchange.running:
            return
        self._cold = True
        self.log.warning("Worker %s: cold shut down, ending %d jobs", self.name, len(exchange.running))
        for item in list(exchange.running.values()):
            calls.shut(item)
        exchange.give_up = loop.time() + self.patience + LAST_WORDS
        loop.call_later(self.patience + LAST_WORDS + 0.1, exchange.wake)

    def _install(self, loop: asyncio.AbstractEventLoop) -> tuple[signal.Signals, ...]:
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal)
        return numbers

    def _on_signal(self) -> None:
        asked = self._shutdown_requested_date
        if self._stop_requested and asked is not None:
            if now() - asked < timedelta(seconds=1):
                return  # a worker pool and the terminal may both send one
            self._stop(grace=None, cold=True)
        else:
            self._stop(grace=None, cold=False)

    # ------------------------------------------------------------ commands

    def handle_payload(self, message: dict[str, Any]) -> None:
        """Act on a command of RQ's, from whichever thread it comes."""
        try:
            payload = json.loads(message["data"])
            command = payload["command"]
        except (ValueError, KeyError, TypeError):
            self.log.warning("Worker %s: a command that is none: %r", self.name, message)
            return
        if command == "shutdown":
            self.request_stop()
        elif command == "stop-job":
            self._on_loop(self._stop_executions, "job_id", payload.get("job_id"))
        elif command == "stop-execution":
            self.request_stop_execution(payload.get("execution_id", ""))
        elif command == "kill-horse":
            self._on_loop(self._stop_executions, "", None)
        else:
            self.log.warning("Worker %s: unknown command %r", self.name, command)

    def request_stop_execution(self, execution_id: str) -> None:
        """Stop one execution; its job ends as STOPPED."""
        self._on_loop(self._stop_executions, "id", execution_id)

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *args)

    def _stop_executions(self, attribute: str, value: str | None) -> None:
        """Stop the executions that have this value; without an attribute all are ended, as a killed horse would be."""
        if self._exchange is None or self._calls is None:
            return
        found = False
        for item in list(self._exchange.running.values()):
            if not attribute:
                self._calls.shut(item)
            elif getattr(item.execution, attribute) == value:
                self._calls.stop(item)
            else:
                continue
            found = True
        if not found and not (isinstance(value, str) and self._exchange.stop_on_arrival(value)):
            self.log.warning("Worker %s: not running %s, command ignored.", self.name, value)
