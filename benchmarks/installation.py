"""An installation to measure: `app dev` in a folder of its own, its people, and its database past all policies."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from httpx2 import AsyncClient, HTTPError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

PASSWORD = "a password of the benchmarks"  # noqa: S105 - of nobody
PATIENCE = 180.0
"""Seconds that an installation may take to start, on a machine that has other things to do."""


@dataclass(frozen=True)
class Person:
    """Somebody who owns a tenant."""

    email: str
    user_id: uuid.UUID
    tenant_id: uuid.UUID
    token: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """What goes with each request."""
        return {"Authorization": f"Bearer {self.token}", "X-Tenant-ID": str(self.tenant_id)}

    async def signed_in(self, client: AsyncClient) -> "Person":
        """Return the same person with a new token."""
        entered = await client.post("/auth/login", json={"email": self.email, "password": PASSWORD})
        return replace(self, token=entered.raise_for_status().json()["access_token"])


@dataclass(frozen=True)
class Installation:
    """`app dev` that runs; `record` is its dev.json, read anew each time."""

    folder: Path
    engine: AsyncEngine

    @property
    def record(self) -> dict[str, Any]:
        """Return what runs where."""
        found: dict[str, Any] = json.loads((self.folder / "dev.json").read_text())
        return found

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Return what a statement finds for the superuser, past every policy."""
        async with self.engine.begin() as connection:
            return list(await connection.execute(text(query), values))

    async def register(self, client: AsyncClient) -> Person:
        """Return a new person with a tenant of their own, signed in."""
        email = f"{uuid.uuid4().hex}@example.com"
        body = {"email": email, "password": PASSWORD, "full_name": "Some Body", "tenant_name": "Some Where"}
        made = (await client.post("/auth/register", json=body)).raise_for_status().json()
        person = Person(email, uuid.UUID(made["user"]["id"]), uuid.UUID(made["tenant"]["id"]))
        return await person.signed_in(client)

    async def settled(self, seconds: float) -> bool:
        """Return once nothing in the outbox waits any more and each row of the audit is chained; False after a time."""
        deadline = time.monotonic() + seconds
        waiting = """
            select (select count(*) from outbox_entries where status in ('queued', 'sent', 'started'))
                 + (select count(*) from audit_unchained)
        """
        while (await self.rows(waiting))[0][0]:
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(0.2)
        return True


@asynccontextmanager
async def installed(*arguments: str) -> AsyncIterator[Installation]:
    """Start an installation, and stop it afterwards, with whatever it started."""
    with tempfile.TemporaryDirectory(prefix="gpb-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        command = [sys.executable, "-m", "app.cli", "dev", "--port", "0", "--data-dir", name, "--no-demo", *arguments]
        log = (folder / "log").open("w")
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        try:
            await until(folder / "dev.json", process)
            record = json.loads((folder / "dev.json").read_text())
            engine = create_async_engine(record["admin_database_url"], poolclass=NullPool)
            yield Installation(folder, engine)
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, 60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
            log.close()


async def until(record: Path, process: "subprocess.Popen[bytes]") -> None:
    """Return when an installation answers; raises RuntimeError when it ended instead, or takes too long."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if record.exists():
            address = json.loads(record.read_text())["address"]
            async with AsyncClient(base_url=address, timeout=5) as client:
                try:
                    if (await client.get("/api/v1/core/health/ready")).is_success:
                        return
                except HTTPError:
                    pass
        await asyncio.sleep(0.1)
    raise RuntimeError(f"app dev did not start: {(record.parent / 'log').read_text()[-2000:]}")
