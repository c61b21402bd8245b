"""One execution in flight, from the moment a job was taken until what became of it is saved."""

import asyncio
from dataclasses import dataclass
from typing import Any

from rq.executions import Execution
from rq.job import Job
from rq.queue import Queue

from app.rqworker.threads import JobThread


@dataclass(slots=True, eq=False)
class Running:
    """A job that this worker holds: what runs it, and why it was told to end, if it was."""

    job: Job
    queue: Queue
    origin: str
    execution: Execution
    before: tuple[Any, ...] = ()
    """The attributes that a job may change and RQ saves; compared at the end."""
    task: asyncio.Task[None] | None = None
    thread: JobThread | None = None
    timer: asyncio.TimerHandle | None = None
    cause: BaseException | None = None
    """Why it was interrupted: a timeout, a stop, a shutdown."""
    stopped: bool = False
    """Somebody asked to stop it: it ends as STOPPED, whatever it returns."""
    ended: bool = False
    """Its function returned, raised or was abandoned; it no longer takes a place."""
    abandoned: bool = False
    """Its function still runs, though what became of the job is decided."""

    logged: bool = False
    """Its failure went to the log and the exception handlers."""

    @property
    def id(self) -> str:
        """The execution's id: a job may run twice, an execution never."""
        return self.execution.id

    def settle(self) -> None:
        """Note that the function is done with."""
        self.ended = True
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


@dataclass(slots=True)
class Ended:
    """What became of an execution: a value or an error."""

    item: Running
    value: Any = None
    error: BaseException | None = None
    encoded: str | None = None
    """The value as its result is stored, when it was encoded on the way."""
