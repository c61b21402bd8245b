"""The embedded Valkey: started, adopted, stopped, and found again after it was killed."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis

from app.embedded.valkey import Valkey
from app.embedded.ways import EngineError
from tests.embedded.support import until

Build = Callable[..., Valkey]


@pytest.fixture
def build(folder: Path) -> Iterator[Build]:
    """Yield a function that builds a server, to be stopped after the test."""
    made: list[Valkey] = []

    def one(data: Path | None = None) -> Valkey:
        made.append(Valkey(data or folder / "valkey"))
        return made[-1]

    yield one
    for valkey in made:
        valkey.stop()


def put(valkey: Valkey, value: str) -> None:
    """Keep a value at the address that the server gives, until it is on the disk."""
    with Redis.from_url(valkey.url) as client:
        client.set("kept", value)
        assert client.waitaof(1, 0, 10_000) == [1, 0]


def get(valkey: Valkey) -> str:
    """Return the value that was kept."""
    with Redis.from_url(valkey.url, decode_responses=True) as client:
        return str(client.get("kept"))


def test_first_start_adoption_and_stop(build: Build) -> None:
    """A second start adopts the server, a stop keeps the data; files are for their owner alone."""
    first, second = build(), build()
    assert not first.is_running()
    first.start()
    put(first, "Ärger")
    second.start()
    assert first.pid == second.pid is not None
    assert first.data.stat().st_mode & 0o777 == 0o700
    assert first.socket.stat().st_mode & 0o777 == 0o700
    assert first.log.stat().st_mode & 0o777 == 0o600
    second.stop()
    until(lambda: not first.is_running())  # the parent sees a moment later that it has ended
    first.start()
    assert get(first) == "Ärger"


def test_data_is_found_after_a_kill(build: Build) -> None:
    """After kill -9 the next start finds what was on the disk."""
    valkey = build()
    valkey.start()
    put(valkey, "value")
    os.kill(valkey.pid or 0, signal.SIGKILL)
    until(lambda: not valkey.is_running())
    again = build()
    again.start()
    assert get(again) == "value"


def test_a_stale_pid_that_another_process_has_now(build: Build) -> None:
    """A pid file whose number belongs to another process is no server and no obstacle."""
    valkey = build()
    valkey.start()
    valkey.stop()
    with subprocess.Popen(["/bin/sleep", "60"]) as other:
        (valkey.data / Valkey.pidfile).write_text(f"{other.pid}\n")
        again = build()
        assert not again.is_running()
        again.stop()
        assert other.poll() is None
        again.start()
        assert again.pid not in {None, other.pid}
        other.kill()


@pytest.mark.parametrize("name", ["d" * 120, "with space, 100% and ö"])
def test_a_path_that_an_address_cannot_hold_as_it_is(build: Build, folder: Path, name: str) -> None:
    """A path too long for a socket gets a private folder; letters with a meaning in an address are quoted."""
    valkey = build(folder / name / "valkey")
    valkey.start()
    put(valkey, name)
    assert get(valkey) == name
    assert valkey.socket.parent.stat().st_mode & 0o777 == 0o700
    again = build(folder / name / "valkey")
    assert again.pid == valkey.pid
    valkey.stop()
    assert not valkey.socket.exists()


def test_a_spoilt_file_is_named(build: Build, folder: Path) -> None:
    """A file that the server cannot read ends the start with what it said, and the way out."""
    (folder / "valkey").write_text("no folder")
    with pytest.raises(EngineError, match="Valkey cannot use"):
        build().start()
    (folder / "valkey").unlink()
    spoilt = folder / "valkey" / "appendonlydir"
    spoilt.mkdir(parents=True)
    (spoilt / "appendonly.aof.manifest").write_text("no manifest")
    with pytest.raises(EngineError, match=r"(?s)ended while it started.*Nothing is lost.*manifest"):
        build().start()
