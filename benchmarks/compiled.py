"""Variants of the package side by side, such as one that was compiled: `python -m benchmarks.compiled FOLDER...`.

Each folder holds `app` and settings.toml; the first is what the others are compared with. They share this environment,
one PostgreSQL and one Valkey, and take turns: ratios are taken within a round. How to build some: README.md.
"""

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from httpx2 import AsyncClient, HTTPError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.embedded.dev import claim_port
from app.embedded.postgres import SUPERUSER, Postgres
from app.embedded.valkey import Valkey
from benchmarks.events import database
from benchmarks.files import resident
from benchmarks.installation import PATIENCE, Installation, Person
from benchmarks.jobs import measure

CLIENTS = 8
JOBS = 3000
PROJECTS = 20
TICK = os.sysconf("SC_CLK_TCK")
# A compiled package has no code that `python -m` could run.
COMMAND = [sys.executable, "-c", "import sys; from app.cli import main; main(sys.argv[1:])"]


@dataclass(frozen=True)
class Site:
    """The API of one variant, who reads there, and who writes."""

    folder: Path
    pid: int
    port: int
    reader: Person
    writer: Person

    def request(self, method: str) -> bytes:
        """Return a request to the list of projects as it goes over the wire."""
        body = json.dumps({"name": f"{uuid.uuid4()}"}).encode() if method == "POST" else b""
        person = self.writer if body else self.reader
        headers = {**person.headers, "Host": "localhost", "Content-Length": len(body)}
        if body:
            headers["Content-Type"] = "application/json"
        lines = [f"{method} /api/v1/projects HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def rates(self, method: str, seconds: float) -> dict[str, float]:
        """Ask from several connections; return requests a second, and how many a second of the API's processor."""
        done = [0] * CLIENTS
        spent, since = processor(self.pid), time.monotonic()
        await asyncio.gather(*(self.ask(method, done, one, since + seconds) for one in range(CLIENTS)))
        taken = time.monotonic() - since
        return {
            f"{method}, requests/s": sum(done) / taken,
            f"{method}, requests/s of processor": sum(done) / (processor(self.pid) - spent),
        }

    async def ask(self, method: str, done: list[int], place: int, until: float) -> None:
        """Send requests one after the other on one connection, and count what is answered."""
        reading, writing = await asyncio.open_connection("127.0.0.1", self.port)
        while time.monotonic() < until:
            writing.write(self.request(method))
            head = await reading.readuntil(b"\r\n\r\n")
            if b" 20" not in head[:12]:
                raise SystemExit(f"{self.folder}: {head.decode()}")
            await reading.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
            done[place] += 1
        writing.close()


def processor(pid: int) -> float:
    """Return the seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


@asynccontextmanager
async def serving(folder: Path, postgres: Postgres, environment: dict[str, str]) -> AsyncIterator[Site]:
    """Serve one variant's API, with a tenant to read in and one to write in."""
    port = claim_port("127.0.0.1", 0)
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", str(port)],
        cwd=folder,
        env=os.environ | environment | {"PYTHONPATH": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=20) as client:
            await ready(client, process)
            engine = create_async_engine(postgres.url(SUPERUSER, "app"), poolclass=NullPool)
            reader, writer = [await Installation(folder, engine).register(client) for _ in range(2)]
            for number in range(PROJECTS):
                made = await client.post("/projects", json={"name": f"Project {number}"}, headers=reader.headers)
                made.raise_for_status()
        yield Site(folder, process.pid, port, reader, writer)
    finally:
        process.terminate()
        process.wait()


async def ready(client: AsyncClient, process: "subprocess.Popen[bytes]") -> None:
    """Return when the API answers; raises RuntimeError when it ended instead, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if (await client.get("/core/health/ready")).is_success:
                return
        except HTTPError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("app serve did not start")


def start(folder: Path, command: str) -> dict[str, float]:
    """Return how many of a command's runs fit into a second."""
    since = time.monotonic()
    where = os.environ | {"PYTHONPATH": str(folder)}
    subprocess.run([*COMMAND, command], cwd=folder, env=where, check=True, stdout=subprocess.DEVNULL)
    return {f"app {command}, runs/s": 1 / (time.monotonic() - since)}


async def one_round(site: Site, seconds: float) -> dict[str, float]:
    """Return all figures of one variant; more is better."""
    reads, creates = await site.rates("GET", seconds), await site.rates("POST", seconds)
    jobs = await asyncio.to_thread(measure, "rqworker", "noop", JOBS, site.folder)
    starts = start(site.folder, "--help") | start(site.folder, "openapi")
    return reads | creates | {"no-op, jobs/s": JOBS / jobs["seconds"]} | starts


def report(folders: list[Path], rounds: list[dict[Path, dict[str, float]]]) -> None:
    """Print medians with quartiles, and the ratios to the first variant."""
    for name in rounds[0][folders[0]]:
        print(name)
        for folder in folders:
            figures = quartiles([found[folder][name] for found in rounds])
            ratios = quartiles([found[folder][name] / found[folders[0]][name] for found in rounds])
            print(f"  {folder.name:12} {figures}; times {folders[0].name}: {ratios}")


def quartiles(values: list[float]) -> str:
    """Return the median of figures, and their first and third quartile."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    digits = 0 if median > 100 else 2
    return f"{median:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


async def main() -> None:
    """Measure all variants, in turns, after one round that warms up."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compiled", description="Variants of the package.")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    folders = [folder.resolve() for folder in given.folders]
    rounds: list[dict[Path, dict[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="gpb-") as name:
        valkey = Valkey(Path(name) / "valkey")
        valkey.start()
        async with AsyncExitStack() as stack:
            stack.callback(valkey.stop)
            postgres = await stack.enter_async_context(database())
            environment = {
                "APP_DATABASE__URL": postgres.url("app_rw", "app"),
                "APP_DATABASE__WORKER_URL": postgres.url("app_worker", "app"),
                "APP_DATABASE__RELAY_URL": postgres.url("app_relay", "app"),
                "APP_BROKER__URL": valkey.url,
                "APP_TASKS__MODE": "worker",
                "APP_MAIL__FOLDER": str(Path(name) / "mails"),
                "APP_FILES__FOLDER": str(Path(name) / "files"),
                "APP_AUTH__SIGNING_KEYS": json.dumps([secrets.token_urlsafe(48)]),
            }
            sites = [await stack.enter_async_context(serving(one, postgres, environment)) for one in folders]
            for number in range(given.rounds + 1):
                order = sites[number % len(sites) :] + sites[: number % len(sites)]
                found = {site.folder: await one_round(site, given.seconds) for site in order}
                if number:
                    rounds.append(found)
            for site in sites:
                print(f"{site.folder.name}: {resident(site.pid, 'VmRSS'):.0f} MB")
    report(folders, rounds)
    print(f"{given.rounds} rounds, load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    asyncio.run(main())
