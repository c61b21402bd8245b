"""Supervision of what `app dev` runs: start, start again, stop in order, and the file by which tools attach.

Nothing that was started outlives a stop. When the supervisor itself is killed, Linux kills the children (see
`LEASH`); macOS has no such call, so there the API goes on until somebody stops it, and the next start says
that its port is in use. An engine survives on purpose: the next start adopts it.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

from app.config import settings
from app.embedded.engine import Engine
from app.embedded.ways import EngineError

FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
"""Seconds before a part that died is started again; doubled each time."""
STEADY = 4.0
"""A part that lived for so many seconds did not fail at its start, and begins with the first delay again."""
POLL = 0.2
"""Seconds between two looks at an engine, which need not be a child of ours."""
PROCESSES = ("api", "worker", "relay", "scheduler", "postgres", "valkey")
RECORD, LOCK = "dev.json", "dev.lock"

# Asks the kernel for SIGKILL when the parent ends (prctl's PR_SET_PDEATHSIG), looks whether that was already,
# and becomes the command. A program of its own, as Python between fork and exec (preexec_fn) may deadlock.
# "Parent" means the thread that forked: with asyncio that is the loop's thread, here the main one.
LEASH = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
os.getppid() == int(sys.argv[1]) or sys.exit("The supervisor is gone.")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class Part(Protocol):
    """Something supervised: a child process or an engine."""

    name: str

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""

    async def start(self) -> None:
        """Start it; raises EngineError or OSError when that fails."""

    async def wait(self) -> None:
        """Return when it has ended, at once when it does not run."""

    async def stop(self) -> None:
        """Stop it and return when it has ended."""


class Child:
    """A process of ours, in a session of its own, with its output passed through; `env` comes on top of ours.

    It is stopped by SIGTERM, and `grace` seconds later by SIGKILL, to whatever it started as well.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], *, grace: float = 10.0) -> None:
        self.name = name
        self.command, self.env, self.grace = tuple(command), dict(env), grace
        self.process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The pid, or None before the first start."""
        return self.process.pid if self.process else None

    @property
    def code(self) -> int | None:
        """The exit code of a process that has ended, negative for a signal."""
        return self.process.returncode if self.process else None

    async def start(self) -> None:
        """Start the process."""
        leash = [sys.executable, "-I", "-S", "-c", LEASH, str(os.getpid())] if sys.platform == "linux" else []
        self.process = await asyncio.create_subprocess_exec(
            *leash,
            *self.command,
            env={**os.environ, **self.env},
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )

    async def wait(self) -> None:
        """Return when the process has ended; what it left behind in its session is killed."""
        if self.process:
            await self.process.wait()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    async def stop(self) -> None:
        """Let the process finish what it does, then see that it has ended."""
        if self.process and self.process.returncode is None:
            self.process.terminate()
            try:
                await asyncio.wait_for(self.process.wait(), self.grace)
            except TimeoutError:
                say(f"{self.name} did not stop within {self.grace:g} s and is killed.")
                os.killpg(self.process.pid, signal.SIGKILL)
            await self.wait()


class EnginePart:
    """An engine as a supervised part."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self.engine = engine

    @property
    def pid(self) -> int | None:
        """The pid while it runs."""
        return self.engine.pid

    async def start(self) -> None:
        """Adopt or start it, without holding up the loop."""
        await asyncio.to_thread(self.engine.start)

    async def wait(self) -> None:
        """Return when it does not run any more."""
        while self.engine.is_running():  # noqa: ASYNC110 - a process sets no event of ours
            await asyncio.sleep(POLL)

    async def stop(self) -> None:
        """Stop it."""
        await asyncio.to_thread(self.engine.stop)


@dataclass(frozen=True)
class Addresses:
    """Where tools find what runs; `settings` are those of its processes, for any other command."""

    address: str
    database_url: str
    admin_database_url: str
    broker_url: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)


class Supervisor:
    """Runs parts until a signal: starts again what dies, records every pid in DATA_DIR/dev.json, stops all.

    Parts stop in the reverse order of their start, so engines are added first and the API last.
    """

    def __init__(self, data_dir: Path, addresses: Addresses) -> None:
        self.record = data_dir / RECORD
        self.addresses = addresses
        self._parts: list[Part] = []
        self._watches: list[asyncio.Task[None]] = []
        self._complete = False

    async def run(self, boot: Callable[[], Awaitable[None]]) -> None:
        """Run `boot`, which adds the parts, then watch over them until SIGINT, SIGTERM or SIGHUP.

        Everything is stopped then, also when `boot` raises or a signal cuts it short. For the main thread.
        """
        self.record.unlink(missing_ok=True)
        work = asyncio.create_task(self._work(boot))
        loop = asyncio.get_running_loop()
        for number in signals():
            loop.add_signal_handler(number, work.cancel)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await work
        finally:
            await self._stop()

    async def add(self, part: Part, *, last: bool = False) -> None:
        """Start a part and watch over it from now on; with the last one dev.json appears."""
        self._parts.append(part)
        await part.start()
        self._complete = self._complete or last
        self._write()
        self._watches.append(asyncio.create_task(self._watch(part)))

    async def _work(self, boot: Callable[[], Awaitable[None]]) -> None:
        await boot()
        await asyncio.gather(*self._watches)

    async def _watch(self, part: Part) -> None:
        delay = FIRST_DELAY
        while True:
            since = time.monotonic()
            await part.wait()
            if time.monotonic() - since > STEADY:
                delay = FIRST_DELAY
            say(f"{part.name} ended and is started again.")
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)
            try:
                await part.start()
                self._write()
            except (EngineError, OSError) as error:
                say(f"{part.name} could not be started again: {error}")

    def _write(self) -> None:
        if self._complete:
            pids = {name: [part.pid for part in self._parts if part.name == name and part.pid] for name in PROCESSES}
            write_whole(self.record, json.dumps({**asdict(self.addresses), "processes": pids}, indent=2) + "\n")

    async def _stop(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        for part in reversed(self._parts):
            await part.stop()
        self.record.unlink(missing_ok=True)


def signals() -> list[signal.Signals]:
    """Return the signals that end us; not the hang-up of a terminal, where `nohup` has it ignored."""
    hang_up = [] if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else [signal.SIGHUP]
    return [signal.SIGINT, signal.SIGTERM, *hang_up]


def say(text: str) -> None:
    """Print a line for the person at the terminal; when that is gone nobody reads it, and work goes on."""
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def write_whole(path: Path, text: str) -> None:
    """Write a file for its owner alone; whoever reads it, after a crash too, sees the old or the new one."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def hold(data_dir: Path) -> Iterator[None]:
    """Hold a data directory: a second supervisor gets an EngineError that names the address of the first."""
    try:
        lock = (data_dir / LOCK).open("a")
    except OSError as error:
        raise EngineError(f"Cannot write to the data directory: {error}. Pass another --data-dir.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(
                f"{settings.project_name} already runs with the data directory {data_dir}: {first_address(data_dir)}. "
                "Stop it, or pass another --data-dir."
            ) from None
        yield


def first_address(data_dir: Path) -> str:
    """Return the address of who holds a data directory; it has none while it starts."""
    try:
        return str(json.loads((data_dir / RECORD).read_text())["address"])
    except FileNotFoundError:
        return "it is just starting"
