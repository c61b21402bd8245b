"""What the workers under test run; each is found by its name, as RQ does it."""

import asyncio
import threading
import time
from typing import Any, NoReturn

from redis import Redis
from rq import Retry, get_current_job
from rq.job import Job

NOTES = "notes"
"""The list in Redis to which jobs and callbacks write what happened."""
GATE = threading.Event()
"""What some jobs wait for, whichever loop they run on; it is shut when a test begins."""


def note(text: str) -> None:
    """Write down that something happened, on the connection of the job that runs."""
    job = get_current_job()
    if job is None:
        raise RuntimeError("no job runs here")
    job.connection.rpush(NOTES, text)


async def add(left: int, right: int) -> int:
    """Add."""
    return left + right


def plain_add(left: int, right: int) -> int:
    """Add, in a thread."""
    return left + right


async def wait(seconds: float, value: Any = None) -> Any:
    """Take some time."""
    await asyncio.sleep(seconds)
    return value


def plain_wait(seconds: float) -> str:
    """Take some time in a thread; say which."""
    time.sleep(seconds)
    return threading.current_thread().name


def spin(seconds: float) -> None:
    """Keep a thread busy, so that an error can be raised in it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


async def gated(value: Any = None) -> Any:
    """Wait until the gate is open."""
    while not GATE.is_set():  # noqa: ASYNC110 - an event of asyncio belongs to one loop
        await asyncio.sleep(0.01)
    return value


def stuck(seconds: float) -> None:
    """Sit inside C code, where no error can be raised."""
    time.sleep(seconds)


def coroutine_of_plain() -> Any:
    """Return something to await."""
    return add(20, 22)


async def say(text: str) -> None:
    """Write down that this ran."""
    note(text)


async def boom() -> NoReturn:
    """Fail."""
    raise ValueError("boom")


def plain_boom() -> NoReturn:
    """Fail in a thread."""
    raise ValueError("boom")


async def leave(kind: str) -> NoReturn:
    """Raise what ends a program."""
    raise {"system": SystemExit(3), "keyboard": KeyboardInterrupt(), "cancel": asyncio.CancelledError()}[kind]


def plain_leave(kind: str) -> NoReturn:
    """Raise what ends a program, or confuses a generator, in a thread."""
    raise {"system": SystemExit(3), "keyboard": KeyboardInterrupt(), "stop": StopIteration("x")}[kind]


async def exhaust() -> int:
    """Ask for more memory than there is."""
    return len(bytearray(1 << 62))


async def deep() -> NoReturn:
    """Recurse without end."""

    async def again() -> NoReturn:
        await again()

    await again()


async def stubborn(seconds: float) -> str:
    """Swallow a cancellation and go on."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        await asyncio.sleep(seconds)
    return "went on"


async def block(seconds: float) -> None:
    """Hold the loop up."""
    time.sleep(seconds)  # noqa: ASYNC251 - that is the point


async def unencodable() -> Any:
    """Return what no serializer can write."""
    return lambda: 1


class Awkward:
    """Raises what is no Exception when it is pickled."""

    def __reduce__(self) -> NoReturn:
        raise SystemExit(4)


async def awkward() -> Awkward:
    """Return something that raises when it is pickled."""
    return Awkward()


async def again() -> Retry:
    """Ask for two more tries."""
    return Retry(max=2)


async def again_later() -> Retry:
    """Ask for another try in a second."""
    return Retry(max=1, interval=1)


async def who() -> bool:
    """Tell whether the current job stays the same across an await."""
    before = get_current_job()
    await asyncio.sleep(0.02)
    return before is not None and before is get_current_job()


def plain_who() -> str | None:
    """Return the current job's id, seen from a thread."""
    job = get_current_job()
    return job.id if job is not None else None


async def loop_id() -> int:
    """Tell which loop runs this."""
    return id(asyncio.get_running_loop())


async def rename() -> None:
    """Change the job while it runs."""
    job = get_current_job()
    if job is not None:
        job.description = "renamed"
        job.result_ttl = 77


async def count_together(key: str, seconds: float) -> None:
    """Note how many of these run at once."""
    job = get_current_job()
    if job is not None:
        job.connection.lpush(f"{key}:seen", job.connection.incr(key))
        await asyncio.sleep(seconds)
        job.connection.decr(key)


def succeeded(job: Job, connection: "Redis", result: Any) -> None:
    """Note a success."""
    connection.rpush(NOTES, f"success {job.id} {result}")


def failed(job: Job, connection: "Redis", kind: type[BaseException], *_: Any) -> None:
    """Note a failure."""
    connection.rpush(NOTES, f"failure {job.id} {kind.__name__}")


def stopped(job: Job, connection: "Redis") -> None:
    """Note a stop."""
    connection.rpush(NOTES, f"stopped {job.id}")


async def succeeded_later(job: Job, connection: "Redis", result: Any) -> None:
    """Note a success, on the loop."""
    await asyncio.to_thread(connection.rpush, NOTES, f"awaited {job.id} {result}")


def bad_callback(*_: Any) -> NoReturn:
    """Fail after a success."""
    raise RuntimeError("the callback failed")


def rude_callback(*_: Any) -> NoReturn:
    """Raise after a success what ends a program."""
    raise SystemExit(5)


def slow_callback(*_: Any) -> None:
    """Take longer than a callback may."""
    spin(20)
