"""SES goes away, and the worker is killed twice: no mail is lost, and a repeat is known by its Message-ID.

`GROUNDPLAN_MAIL_OUTAGE=60 pytest tests/services/test_mail_drill.py` makes it a minute, at the pace of an installation.
"""

import asyncio
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest

from app.auth.events import PasswordChanged
from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from app.processes import Pools
from tests.commands.support import ROOT
from tests.services.posts import REGION, SENDER, backend, parsed
from tests.support import Cluster, free_port

OUTAGE = float(os.environ.get("GROUNDPLAN_MAIL_OUTAGE", "2"))
IN_EARNEST = OUTAGE >= 30
MAILS = 20
PATIENCE = 240.0 + 4 * OUTAGE
"""Seconds that any step may take, on a machine that has other things to do."""

STATES = "select status, count(*) from outbox_entries where name = 'auth.mail_changed_password' group by status"
FAILED = "select 1 from outbox_entries where error like '%Amazon SES does not take mail now%'"
EXPIRE = "update outbox_entries set lease_until = now() where status = 'started' returning 1"


@dataclass
class Wire:
    """What lies between a worker and SES: it can be cut, and it can lose the answers."""

    target: int
    port: int = field(default_factory=free_port)
    mute: bool = False
    server: asyncio.Server | None = None
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def open(self) -> None:
        """Carry bytes, on the same port each time."""
        self.server = await asyncio.start_server(self.carry, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """Refuse connections, and reset those that there are."""
        assert self.server is not None
        self.server.close()
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()
        await asyncio.sleep(0.05)  # until the loop has closed them

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection both ways."""
        there, back = await asyncio.open_connection("127.0.0.1", self.target)
        self.writers |= {writer, back}
        await asyncio.gather(self.pump(reader, back), self.pump(there, writer, answers=True))

    async def pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, answers: bool = False) -> None:
        """Carry bytes one way until they end; while `mute` is set, answers get lost and their connection stays."""
        with suppress(OSError):
            while data := await source.read(65_536):
                if not (answers and self.mute):
                    target.write(data)
                    await target.drain()
            if not (answers and self.mute):
                target.close()


@contextmanager
def running(command: str, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run one of our commands; kill it at the end."""
    process = subprocess.Popen([sys.executable, "-m", "app.cli", command], cwd=ROOT, env=environment)  # noqa: S603
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """Return once a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():  # noqa: ASYNC110 - what changes is in other processes
            await asyncio.sleep(0.05)


def environment(cluster: Cluster, database: str, broker: str, port: int) -> dict[str, str]:
    """Return the settings of a relay and a worker that send by SES."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    return inherited | {
        "APP_ENV": "testing",
        "APP_AUTH__SIGNING_KEYS": os.environ["APP_AUTH__SIGNING_KEYS"],
        "APP_DATABASE__URL": cluster.url("app_rw", database),
        "APP_BROKER__URL": broker,
        "APP_TASKS__MODE": "worker",
        "APP_TASKS__RETRY_SECONDS": "1.0" if IN_EARNEST else "0.2",
        "APP_MAIL__TRANSPORT": "ses",
        "APP_MAIL__SENDER": SENDER,
        "APP_MAIL__SES_REGION": REGION,
        "APP_MAIL__SES_ENDPOINT": f"http://127.0.0.1:{port}",
        "APP_LOG__LEVEL": "CRITICAL",
    }


async def promise(cluster: Cluster, database: str) -> None:
    """Commit what is to be told by mail."""
    user_id = uuid.uuid4()
    made = "insert into users (id, email, full_name) values (:id, 'somebody@example.com', 'Some Body') returning 1"
    await cluster.rows(database, made, id=user_id)
    pools = Pools.open(settings, cluster.url("app_rw", database))
    for _ in range(MAILS):
        async with pools.work.begin(tenant_id=SYSTEM_TENANT_ID, actor_id=user_id) as ctx:
            await ctx.emit(PasswordChanged(object_id=user_id, after={"sessions_ended": 0}))
    await pools.close()


async def test_no_mail_is_lost(cluster: Cluster, broker: str, ses: str, capsys: pytest.CaptureFixture[str]) -> None:
    """First the answers get lost and the worker is killed; then SES is away, and it is killed again."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    backend().sent_messages.clear()
    wire = Wire(urlsplit(ses).port or 0, mute=True)
    await wire.open()
    await promise(cluster, database)
    own = environment(cluster, database, broker, wire.port)

    async def taken() -> bool:
        return bool(backend().sent_messages)

    async def failed() -> object:
        return await cluster.rows(database, FAILED)

    async def expired() -> object:
        """Spare the short form the wait for the leases of who was killed."""
        return IN_EARNEST or await cluster.rows(database, EXPIRE)

    async def done() -> bool:
        return dict(map(tuple, await cluster.rows(database, STATES))).keys() <= {"finished", "dead"}

    with running("relay", own):
        with running("worker", own):
            await until(taken)
        await wire.cut()
        away, wire.mute, early = time.monotonic(), False, len(backend().sent_messages)
        await until(expired)
        with running("worker", own):
            await until(failed)
        with running("worker", own):
            await asyncio.sleep(max(0.0, away + OUTAGE - time.monotonic()))  # the outage, not a condition
            lasted = time.monotonic() - away
            await wire.open()
            await until(done)
    rows = await cluster.rows(database, "select id, status, attempts from outbox_entries where name like '%changed%'")
    await wire.cut()
    await cluster.drop(database)
    ids = Counter(str(parsed(one.raw_data.encode())["Message-ID"]) for one in backend().sent_messages)
    with capsys.disabled():
        if IN_EARNEST:
            attempts = dict(Counter(row.attempts for row in rows))
            print(f"\naway {lasted:.1f} s, {early} taken unanswered, {ids.total()} for {MAILS}, attempts {attempts}")  # noqa: T201
    assert [row.status for row in rows] == ["finished"] * MAILS
    assert ids.keys() == {f"<{row.id}@example.com>" for row in rows}
    assert ids.total() > MAILS
