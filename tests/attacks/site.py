"""An installation under attack: server processes of its own on a database, a Valkey and a folder of mails."""

import asyncio
import email
import email.policy
import os
import re
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from httpx2 import AsyncClient, Client, HTTPError, Limits

from app.routes import PREFIX
from app.worker import SCHEDULE
from tests.attacks.wire import Wire
from tests.embedded.support import until
from tests.load.door import CONTENT, TABLES
from tests.support import Caller, Cluster, Team, chained, found_team, free_port, register, settled

PROJECT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
TOKEN = re.compile(r"#token=(gp[il]_[\w-]+)")

DENIED = "select id from audit_entries where action = 'access.denied'"
KEPT = {
    "audit_entries": f"(select * from audit_entries where id not in ({DENIED}))",
    "audit_chain": f"(select * from audit_chain where id not in ({DENIED}))",
    "outbox_entries": "(select * from outbox_entries where name <> all(:periodic))",
    "schedule_entries": "(select name from schedule_entries where name <> all(:periodic))",
}
"""Of these tables what neither a refused attempt, which the audit keeps, nor the clock may change."""
STATE = " union all ".join(f"select '{name}', ({CONTENT.format(KEPT.get(name, name))})" for name in TABLES)


@dataclass
class Servers:
    """Processes of `app serve`, each with a port of its own."""

    ports: list[int]
    processes: list[subprocess.Popen[bytes]]

    def check(self) -> None:
        """Fail when one has ended."""
        assert [process.poll() for process in self.processes] == [None] * len(self.processes)


@contextmanager
def serving(number: int, environment: Mapping[str, str], *options: str) -> Iterator[Servers]:
    """Run so many `app serve` until the block ends; yield them once all are ready."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    servers = Servers([], [])
    try:
        for _ in range(number):
            port = free_port()
            command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port), "--drain", "1", *options]
            process = subprocess.Popen(command, cwd=PROJECT, env=inherited | dict(environment))  # noqa: S603
            servers.ports.append(port)
            servers.processes.append(process)
        with Client(timeout=5, trust_env=False) as client:  # one, for each loads the certificates
            until(lambda: is_ready(servers, client), 120)
        yield servers
        servers.check()
    finally:
        for process in servers.processes:
            process.terminate()
        for process in servers.processes:
            process.wait(60)


def is_ready(servers: Servers, client: Client) -> bool:
    """Tell whether every process answers."""
    servers.check()
    try:
        return all(
            client.get(f"http://{HOST}:{port}{PREFIX}/core/health/ready").status_code == 200 for port in servers.ports
        )
    except HTTPError:
        return False


@dataclass(frozen=True)
class Mails:
    """The folder that mails are written to, read once each."""

    folder: Path
    seen: set[str] = field(default_factory=set)
    tokens: dict[str, list[str]] = field(default_factory=dict)

    def read(self) -> None:
        """Read what is new."""
        for path in sorted(self.folder.glob("*.eml")):
            if path.name not in self.seen:
                self.seen.add(path.name)
                message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
                body = message.get_body(("plain",))
                found = TOKEN.search(str(body.get_content()) if body else "")
                if found:
                    self.tokens.setdefault(str(message["To"]), []).append(found[1])

    async def links(self, address: str, number: int = 1, kind: str = "gp") -> Sequence[str]:
        """Return the tokens of a kind that were mailed to an address, once there are so many, oldest first."""
        async with asyncio.timeout(60):
            while True:
                self.read()
                found = [token for token in self.tokens.get(address, []) if token.startswith(kind)]
                if len(found) >= number:
                    return found
                await asyncio.sleep(0.01)  # nobody tells us of a file


@dataclass(frozen=True)
class Site:
    """Two server processes and what is behind them."""

    doors: tuple[Wire, ...]
    client: AsyncClient
    cluster: Cluster
    database: str
    mails: Mails

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Return what the superuser finds, past every policy."""
        return await self.cluster.rows(self.database, query, **values)

    async def value(self, query: str, **values: Any) -> Any:
        """Return the one value that a query finds."""
        ((found,),) = await self.rows(query, **values)
        return found

    async def state(self) -> dict[str, str]:
        """Return a digest of every table, once nothing in the background changes them any more."""
        await settled(self.cluster, self.database)
        await chained(self.cluster, self.database)
        return dict(map(tuple, await self.rows(STATE, periodic=[line.task.name for line in SCHEDULE])))

    def door(self, number: int) -> Wire:
        """Return the one process or the other."""
        return self.doors[number % len(self.doors)]

    async def register(self) -> Caller:
        """Register somebody with a tenant of their own."""
        return await register(self.client)

    async def team(self) -> Team:
        """Make a tenant with people in every role, and a stranger."""
        return await found_team(self.client, self.cluster, self.database)

    async def superuser(self) -> Caller:
        """Register a superuser."""
        found = await self.register()
        assert await self.rows("update users set is_superuser = true where id = :id returning 1", id=found.user_id)
        return found


@asynccontextmanager
async def site_of(
    number: int, cluster: Cluster, broker: str, folder: Path, environment: Mapping[str, str], *options: str
) -> AsyncIterator[tuple[Site, Servers]]:
    """Open a site with so many processes on a database of its own."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    own = {
        "APP_ENV": "testing",
        "APP_AUTH__SIGNING_KEYS": os.environ["APP_AUTH__SIGNING_KEYS"],
        "APP_DATABASE__URL": cluster.url("app_rw", database),
        "APP_BROKER__URL": broker,
        "APP_MAIL__FOLDER": str(folder),
        "APP_AUDIT__CHAIN_SECONDS": "0.5",
        "APP_TASKS__POLL_SECONDS": "1.0",
        # Twenty at once on one row wait longer on a busy machine than people should.
        "APP_DATABASE__POOL_TIMEOUT": "15.0",
        "APP_DATABASE__LOCK_TIMEOUT": "10.0",
        **environment,
    }
    keep = Limits(keepalive_expiry=1.0)
    try:
        with serving(number, own, *options) as servers:
            doors = tuple(Wire(port) for port in servers.ports)
            address = f"http://{HOST}:{servers.ports[0]}{PREFIX}"
            try:
                async with AsyncClient(base_url=address, trust_env=False, limits=keep, timeout=30) as client:
                    yield Site(doors, client, cluster, database, Mails(folder)), servers
            finally:
                for door in doors:
                    door.close()
    finally:
        await cluster.drop(database)
