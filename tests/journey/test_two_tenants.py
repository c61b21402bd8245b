"""Two people, two tenants, one `app dev`: nothing crosses, and nothing is lost by kill -9."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from httpx2 import HTTPError, get, post, request

from app.embedded.ways import command_lines
from tests.embedded.support import alive, until

PROJECT = Path(__file__).resolve().parents[2]
PASSWORD = "a password of the journey"


@pytest.fixture
def data() -> Iterator[Path]:
    """Yield a data directory that does not exist yet."""
    folder = Path(tempfile.mkdtemp(prefix="gp-"))
    folder.chmod(0o711)
    yield folder / "data"
    shutil.rmtree(folder)


@contextlib.contextmanager
def app_dev(data: Path) -> Iterator[dict[str, Any]]:
    """Run `app dev` on a free port until the block ends; yield what its dev.json says once it is ready."""
    command = [sys.executable, "-m", "app.cli", "dev", "--port", "0", "--no-demo", "--data-dir", str(data)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            yield {**until(lambda: record(data, process), 60), "supervisor": process.pid}
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)


def record(data: Path, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
    """Return dev.json once the API that it names is ready."""
    assert process.poll() is None, "app dev ended"
    try:
        found: dict[str, Any] = json.loads((data / "dev.json").read_text())
        ready = get(f"{found['address']}/api/v1/core/health/ready", timeout=5)
    except (FileNotFoundError, HTTPError):
        return None
    return found if ready.status_code == 200 and all(map(alive, found["processes"]["api"])) else None


@dataclass
class Person:
    """Somebody with a tenant of their own."""

    address: str
    headers: dict[str, str]

    @classmethod
    def register(cls, address: str) -> "Person":
        """Register and sign in."""
        email = f"{uuid.uuid4().hex}@example.com"
        who = {"email": email, "password": PASSWORD, "full_name": "Some Body", "tenant_name": "Their Place"}
        made = post(f"{address}/api/v1/auth/register", json=who)
        assert made.status_code == 201, made.text
        tokens = post(f"{address}/api/v1/auth/login", json={"email": email, "password": PASSWORD}).json()
        authorization = f"Bearer {tokens['access_token']}"
        return cls(address, {"Authorization": authorization, "X-Tenant-ID": made.json()["tenant"]["id"]})

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, **rest: Any) -> tuple[int, Any]:
        """Return status and body of a request."""
        answer = request(method, f"{self.address}/api/v1{path}", headers=headers or self.headers, timeout=10, **rest)
        return answer.status_code, answer.json()

    def projects(self) -> list[dict[str, Any]]:
        """Return all projects, walked page by page."""
        rows: list[dict[str, Any]] = []
        cursor: str | None = None
        while cursor is not None or not rows:
            parameters = {"limit": 2, "sort": "name"} | ({"cursor": cursor} if cursor else {})
            status, page = self.call("GET", "/projects", params=parameters)
            assert status == 200
            rows, cursor = rows + page["items"], page["next_cursor"]
            if cursor is None:
                break
        return rows


def test_two_tenants_and_a_power_cut(data: Path) -> None:
    """Projects of two tenants stay apart whichever way ids and headers are swapped, and are there after kill -9."""
    with app_dev(data) as run:
        one, two = Person.register(run["address"]), Person.register(run["address"])
        for person, names in ((one, "abcde"), (two, "xyz")):
            for name in names:
                assert person.call("POST", "/projects", json={"name": name})[0] == 201
        before = one.projects(), two.projects()
        assert ["".join(row["name"] for row in rows) for rows in before] == ["abcde", "xyz"]
        swap(one, two)
        swap(two, one)
        assert (one.projects(), two.projects()) == before
        kill_everything(run)
    with app_dev(data) as again:
        for person in (one, two):
            person.address = again["address"]
        assert (one.projects(), two.projects()) == before, "the sign-in and the rows outlive kill -9"


def swap(mine: Person, other: Person) -> None:
    """Try everything with the other's ids, and with the other's tenant in the header."""
    target = f"/projects/{other.projects()[0]['id']}"
    foreign = {**mine.headers, "X-Tenant-ID": other.headers["X-Tenant-ID"]}
    for method, path in (("GET", target), ("PATCH", target), ("DELETE", target), ("POST", f"{target}/restore")):
        body = {"json": {"description": "taken"}} if method == "PATCH" else {}
        assert mine.call(method, path, **body)[0] == 404
        assert mine.call(method, path, foreign, **body)[0] == 404
    cursor = other.call("GET", "/projects", params={"limit": 1})[1]["next_cursor"]
    assert mine.call("GET", "/projects", params={"limit": 1, "cursor": cursor})[0] == 400
    assert mine.call("POST", "/projects", foreign, json={"name": "taken"})[0] == 404


def kill_everything(run: dict[str, Any]) -> None:
    """Kill the supervisor, the API, the server and all its children at once, as a power cut would."""
    server = run["processes"]["postgres"]
    children = [pid for pid, line in command_lines().items() if parent(pid) in server and "postgres" in line]
    doomed = [run["supervisor"], *run["processes"]["api"], *server, *children]
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    until(lambda: not any(map(alive, doomed)))


def parent(pid: int) -> int | None:
    """Return a process's parent."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return None
