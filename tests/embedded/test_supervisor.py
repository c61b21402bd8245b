"""The supervisor: what dies is started again, what was started is stopped, and dev.json tells what runs."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.embedded import supervisor as module
from app.embedded.supervisor import Child, Part, Supervisor, hold, write_whole
from app.embedded.ways import EngineError, command_lines
from tests.embedded.conftest import Make
from tests.embedded.stand_in import ADDRESSES
from tests.embedded.support import alive, ask, names, until

PROJECT = Path(__file__).resolve().parents[2]


@dataclass
class Fake:
    """A part that keeps a diary; it dies at once if it is `mortal`, and some of its starts fail."""

    name: str
    diary: list[str] = field(default_factory=list)
    mortal: bool = False
    failing_starts: Sequence[int] = ()
    pid: int | None = 1

    async def start(self) -> None:
        """Start, or fail."""
        self.diary.append(f"{self.name} starts")
        if len(self.diary) in self.failing_starts:
            raise EngineError("not today")

    async def wait(self) -> None:
        """Return when it has ended."""
        if not self.mortal:
            await asyncio.sleep(60)

    async def stop(self) -> None:
        """Stop."""
        self.diary.append(f"{self.name} stops")


def supervise(
    folder: Path, *parts: Part, seconds: float = 0, number: int = signal.SIGTERM, ready: Path | None = None
) -> None:
    """Run the parts under a supervisor in this process; it gets a signal after so many seconds, once `ready` exists."""
    supervisor = Supervisor(folder, ADDRESSES)

    async def boot() -> None:
        for part in parts:
            await supervisor.add(part, last=part is parts[-1])
        if ready:
            await asyncio.to_thread(until, ready.exists)
        asyncio.get_running_loop().call_later(seconds, os.kill, os.getpid(), number)

    asyncio.run(supervisor.run(boot))


@contextmanager
def stand_in(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a supervisor of PostgreSQL and of a child that sleeps, as a process of its own."""
    command = [sys.executable, "-m", "tests.embedded.stand_in", str(folder)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.DEVNULL) as process:  # noqa: S603 - ours
        try:
            yield process
        finally:
            process.kill()


def pids(folder: Path) -> dict[str, list[int]]:
    """Return the processes in dev.json, nothing while it is not there."""
    try:
        found: dict[str, list[int]] = json.loads((folder / "dev.json").read_text())["processes"]
    except FileNotFoundError:
        return {}
    return found


def kill_and_wait(folder: Path, name: str) -> dict[str, list[int]]:
    """Kill a process in dev.json, wait until another has its place, and return what is there then."""
    [before] = pids(folder)[name]
    os.kill(before, signal.SIGKILL)
    after: dict[str, list[int]] = until(lambda: (now := pids(folder))[name] not in ([], [before]) and now)
    until(lambda: alive(after[name][0]))  # while it turns into its command it has no command line
    return after


def traces(folder: Path) -> list[str]:
    """Return the command lines of the processes that have to do with a folder."""
    return [line for line in command_lines().values() if f"{folder}/" in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_order_of_a_stop(folder: Path, number: int) -> None:
    """On each of the signals the parts stop, the one started last is the first, and dev.json goes."""
    signal.signal(number, signal.SIG_DFL)  # where the suite runs under `nohup`, a hang-up is ignored
    diary: list[str] = []
    supervise(folder, *(Fake(name, diary) for name in ("postgres", "worker", "api")), number=number)
    assert diary[:3] == ["postgres starts", "worker starts", "api starts"]
    assert diary[3:] == ["api stops", "worker stops", "postgres stops"]
    assert names(folder) == []


def test_a_failing_boot_stops_what_was_started(folder: Path) -> None:
    """What cannot be started ends the run with its error; what runs by then is stopped."""
    diary: list[str] = []
    with pytest.raises(EngineError, match="not today"):
        supervise(folder, Fake("postgres", diary), Fake("api", diary, failing_starts=[2]))
    assert diary[2:] == ["api stops", "postgres stops"]


def test_a_part_is_started_again_and_again(folder: Path) -> None:
    """After a death, and after a start that failed, comes another start; the wait between them grows."""
    part = Fake("api", mortal=True, failing_starts=[2, 3])
    supervise(folder, part, seconds=1.2)  # starts at 0, 0.1, 0.3 and 0.7 s
    *starts, end = part.diary
    assert (set(starts), end) == ({"api starts"}, "api stops")
    assert 3 <= len(starts) <= 5
    assert module.LONGEST_DELAY <= 2


def test_what_dies_is_started_again_and_recorded(folder: Path, make: Make) -> None:
    """A killed child and a killed engine come back, and dev.json has the new pid; a stop leaves nothing behind."""
    with stand_in(folder) as supervisor:
        first = until(lambda: pids(folder))
        assert json.loads((folder / "dev.json").read_text()) == {
            "address": "http://127.0.0.1:1",
            "database_url": "postgresql+asyncpg://a",
            "admin_database_url": "postgresql+asyncpg://b",
            "broker_url": None,
            "settings": {},
            "processes": {
                "api": [first["api"][0]],
                "worker": [],
                "relay": [],
                "scheduler": [],
                "postgres": [make().pid],
                "valkey": [],
            },
        }
        assert (folder / "dev.json").stat().st_mode & 0o777 == 0o600
        second = kill_and_wait(folder, "api")
        assert second == {**first, "api": second["api"]}
        third = kill_and_wait(folder, "postgres")
        assert third == {**second, "postgres": third["postgres"]}
        assert ask(make(), "select 1") == 1
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(timeout=60) == 0
    assert names(folder) == ["dev.lock", "postgres", "postgres.log"]
    assert traces(folder) == []
    assert not alive(third["api"][0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process together with its parent")
def test_a_killed_supervisor_leaves_no_orphan(folder: Path, make: Make) -> None:
    """After kill -9 of the supervisor its child is dead too; the engine lives on, and the next start adopts it."""
    with stand_in(folder) as supervisor:
        first = until(lambda: pids(folder))
        supervisor.kill()
        supervisor.wait()
    until(lambda: not alive(first["api"][0]))
    assert make().pid == first["postgres"][0]
    with stand_in(folder) as supervisor:
        second = until(lambda: (now := pids(folder)) != first and now)
        assert second["postgres"] == first["postgres"]
        supervisor.terminate()
        assert supervisor.wait(timeout=60) == 0
    assert traces(folder) == []


@pytest.mark.parametrize("trace", [".postgres.new-*/base", "postgres/postmaster.pid"])
def test_a_signal_while_it_starts(folder: Path, trace: str) -> None:
    """Ctrl-C while the cluster is made, or while the server starts, ends cleanly and leaves no process."""
    with stand_in(folder) as supervisor:
        until(lambda: list(folder.glob(trace)))
        supervisor.send_signal(signal.SIGINT)
        assert supervisor.wait(timeout=60) == 0
    assert traces(folder) == []
    assert not list(folder.glob(".postgres.new-*"))


def test_a_data_directory_has_one_supervisor(folder: Path) -> None:
    """A second one is refused with the address of the first, if that has got so far; later it is free."""
    with hold(folder):
        with (
            pytest.raises(EngineError, match=rf"already runs with the data directory {folder}: it is just"),
            hold(folder),
        ):
            pass
        (folder / "dev.json").write_text('{"address": "http://127.0.0.1:4711"}')
        with pytest.raises(EngineError, match=r"http://127\.0\.0\.1:4711\. Stop it, or pass another"), hold(folder):
            pass
    with hold(folder):
        pass


def test_a_child_has_time_to_finish(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A child is asked to end, may finish what it does, and its output is passed through."""
    script = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(time.sleep(0.3) or print("finished")))
print("ready", flush=True)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
    ready = folder / "ready"
    child = Child("api", [sys.executable, "-c", script, str(ready)], {})
    supervise(folder, child, ready=ready)
    assert capfd.readouterr().out == "ready\nfinished\n"
    assert child.code == 0


def test_a_child_that_will_not_end_is_killed(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A child that ignores the request is killed after its grace, and what it started dies with it."""
    script = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(subprocess.Popen(["sleep", "60"]).pid, flush=True)
print(os.environ["GREETING"], flush=True)
pathlib.Path(sys.argv[1]).touch()
time.sleep(60)
"""
    ready = folder / "ready"
    child = Child("api", [sys.executable, "-c", script, str(ready)], {"GREETING": "hello"}, grace=0.2)
    supervise(folder, child, ready=ready)
    grandchild, greeting, told = capfd.readouterr().out.splitlines()
    assert (greeting, child.code) == ("hello", -signal.SIGKILL)
    assert "did not stop within 0.2 s" in told
    until(lambda: not alive(int(grandchild)))


def test_a_file_is_written_whole(folder: Path) -> None:
    """A file that cannot be written leaves the old one, and nothing beside it."""
    path = folder / "file"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert (path.read_text(), names(folder)) == ("old", ["file"])
