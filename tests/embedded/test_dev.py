"""`app dev`: what it refuses, what it keeps, and one whole life of it."""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.config import settings
from app.embedded import attach
from app.embedded.dev import READY, claim_port, run, signing_key
from app.embedded.supervisor import hold
from app.embedded.ways import EngineError
from tests.embedded.support import alive, names, until

PROJECT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def listener() -> Iterator[int]:
    """Listen on a free port, and yield it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_port_in_use_is_refused_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Before anything is made or started, one line names the port and what to do."""
    with listener() as port:
        assert run("127.0.0.1", port, folder / "data", workers=1, demo=True) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"app dev: Cannot serve on port {port} of 127.0.0.1: Address already in use.")
    assert "--port" in said.err
    assert said.out == ""
    assert names(folder) == []


def test_a_second_start_hears_of_the_first(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the port and the data directory of the first, the second hears the address of the first."""
    (folder / "dev.json").write_text('{"address": "http://127.0.0.1:4711"}')
    with listener() as port, hold(folder):
        assert run("127.0.0.1", port, folder, workers=1, demo=True) == 1
    assert "already runs with the data directory" in (error := capsys.readouterr().err)
    assert "http://127.0.0.1:4711" in error


@pytest.mark.parametrize(("host", "port"), [("no.such.host.invalid", 0), ("192.0.2.1", 0), ("127.0.0.1", 65536)])
def test_an_address_that_cannot_be_had(host: str, port: int) -> None:
    """A host that is unknown or elsewhere, and a number that is no port, are refused with a clear line."""
    with pytest.raises(EngineError, match=r"port \d+.* pass "):
        claim_port(host, port)


def test_a_free_port_is_found() -> None:
    """Port 0 asks for any free one, for all addresses of the host alike."""
    assert claim_port("localhost", 0) > 1023


def test_a_data_directory_that_cannot_be_made(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A data directory below a file is refused with one line."""
    (folder / "file").touch()
    assert run("127.0.0.1", 0, folder / "file" / "data", workers=1, demo=True) == 1
    assert capsys.readouterr().err.startswith("app dev: Cannot make the data directory: ")


def test_what_does_not_run_has_no_settings(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a folder that is missing, of one that was left, and of a start under way, one line says which it is."""
    assert attach.show(folder / "data") == 1
    (folder / "dev.json").write_text('{"settings": {"APP_ENV": "development"}}')
    assert attach.show(folder) == 1
    (folder / "dev.json").unlink()
    with hold(folder):
        assert attach.show(folder) == 1
    said = capsys.readouterr()
    assert said.out == ""
    missing, left, starting = said.err.splitlines()
    assert missing.startswith(f"app dev: Nothing runs with the data directory {folder / 'data'}: ")
    assert left.startswith(f"app dev: Nothing runs with the data directory {folder}: ")
    assert starting.endswith("is just starting: try again.")
    assert names(folder) == ["dev.lock"]


def test_the_signing_key_is_kept(folder: Path) -> None:
    """The key is made once, for its owner's eyes; one that was cut short is made anew."""
    key = signing_key(folder)
    assert len(key) >= 32
    assert signing_key(folder) == key
    assert (folder / "signing_key").stat().st_mode & 0o777 == 0o600
    (folder / "signing_key").write_text(key[:10])
    assert signing_key(folder) not in {key, key[:10]}


@contextlib.contextmanager
def app_dev(data: Path) -> Iterator[subprocess.Popen[str]]:
    """Run `app dev` as a process of its own, under a variable that leads the drivers of PostgreSQL astray."""
    script = "import sys; from pathlib import Path; from app.embedded.dev import run; "
    command = [
        sys.executable,
        "-c",
        f"{script}sys.exit(run('127.0.0.1', 0, Path(sys.argv[1]), workers=1, demo=True))",
        str(data),
    ]
    environment = {**os.environ, "PGPORT": "1"}
    with subprocess.Popen(  # noqa: S603 - ours
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], word: str) -> str:
    """Return what a process prints, up to a line with a word."""
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if word in line:
            return "".join(lines)
    raise AssertionError("".join(lines))


def ready(address: str) -> bool:
    """Ask an API whether it is ready."""
    connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=5)
    try:
        connection.request("GET", READY)
        return connection.getresponse().status == http.HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


async def ping(url: str) -> bool:
    """Ask a broker whether it is there."""
    async with Redis.from_url(url) as broker:
        try:
            return bool(await broker.ping())
        except RedisError:
            return False


def operate(data: Path) -> None:
    """Run what an operator runs, in a shell that has evaluated what `app dev --env` prints; each must end with 0."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    subprocess.run(  # noqa: S603 - ours
        ["/bin/sh", "-euc", OPERATING, sys.executable, data],
        cwd=PROJECT,
        env={**environment, "PGPORT": "1"},
        stdout=subprocess.DEVNULL,
        timeout=300,
        check=True,
    )


def test_a_whole_life(folder: Path) -> None:
    """From nothing to a sign-in; commands find it; what is killed comes back; the next start finds the data."""
    data = folder / "data"
    with app_dev(data) as process:
        said = read_until(process, "  tenant  ")
        assert [step for step in STEPS if step not in said] == []
        record = json.loads((data / "dev.json").read_text())
        assert f"{settings.project_name} runs at {record['address']} " in said
        assert "@/app?host=" in record["database_url"]
        assert ready(record["address"])
        assert f'dev --env --data-dir {data.resolve()})" lets them' in said
        operate(data)
        [broker] = record["processes"]["valkey"]
        os.kill(broker, signal.SIGKILL)
        assert until(lambda: asyncio.run(ping(record["broker_url"])))
        assert until(lambda: json.loads((data / "dev.json").read_text())["processes"]["valkey"] != [broker])
        [api] = record["processes"]["api"]
        os.kill(api, signal.SIGKILL)
        until(lambda: not alive(api))
        assert until(lambda: ready(record["address"]))
        process.send_signal(signal.SIGINT)
        assert f"{settings.project_name} has stopped." in process.communicate(timeout=60)[0]
        assert process.returncode == 0
    kept = ["dev.lock", "postgres", "postgres.log", "signing_key", "valkey", "valkey.log"]
    assert names(data) == ["audit-anchor.json", "audit-anchor.json.lock", *kept]
    with app_dev(data) as process:
        again = read_until(process, "  tenant  ")
        assert again.splitlines()[-2:] == said.splitlines()[-2:]
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0


STEPS = ("PostgreSQL", "Valkey", "Roles and database", "Schema", "Demo data", "Relay, scheduler", "API", "/docs")

OPERATING = """
app() { "$0" -m app.cli "$@"; }
found=$(app dev --env --data-dir "$1")
eval "$found"
app check
app audit verify
app tasks run files.sweep
"""
