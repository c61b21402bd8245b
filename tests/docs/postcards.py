"""What `docs/how-to.md` makes, tried in a copy that has it: `python -m tests.docs.postcards`, there."""

import asyncio
import os
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient

from app.config import settings
from app.db import migrations
from app.hub import MessageHub
from app.main import create_app
from app.processes import outside_world
from app.services import Services
from app.services.mailer import MemoryMailer
from app.worker import SCHEDULE
from tests.support import Caller, Cluster, enrol, register, settled


async def drill() -> None:
    """Make a database, migrate it, and let people write postcards."""
    cluster, name = Cluster(os.environ["GROUNDPLAN_TEST_CLUSTER"]), f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    try:
        await asyncio.to_thread(migrations.upgrade, cluster.url("app_migrator", name))
        services = Services()
        app = create_app(url=cluster.url("app_rw", name), services=services)
        async with app.router.lifespan_context(app):
            transport = ASGITransport(app, raise_app_exceptions=False)
            async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
                owner = await register(client)
                (viewer,) = await enrol(cluster, name, client, owner.tenant_id, "viewer")
                await cluster.rows(name, "update users set email_verified_at = now() returning 1")
                await write(owner, viewer, lambda: settled(cluster, name), services)
    finally:
        await cluster.drop(name)


async def write(owner: Caller, viewer: Caller, settle: Callable[[], Any], services: Any) -> None:
    """Write one, wrongly too, and see it printed, mailed, audited and timed."""
    made = await owner.call("POST", "/postcards", json={"text": "Greetings"})
    assert made.status_code == 201, made.text
    assert made.headers["Server-Timing"].startswith("app;dur=")
    place = f"/postcards/{made.json()['id']}"
    assert (await viewer.call("POST", "/postcards", json={"text": "Hello"})).status_code == 403
    assert (await viewer.call("GET", place)).status_code == 403
    again = await owner.call("POST", "/postcards", json={"text": "Greetings"})
    assert (again.status_code, again.json()["code"]) == (409, "postcard_written")
    missing = await owner.call("GET", f"/postcards/{uuid.uuid4()}")
    assert (missing.status_code, missing.json()["code"]) == (404, "postcard_not_found")
    assert (await owner.call("GET", place)).status_code in {200, 202}
    await settle()
    shown = await owner.call("GET", place)
    assert (shown.status_code, shown.json()["printed_at"] is None) == (200, False)
    assert services.printer.printed == {made.json()["id"]: "Greetings"}
    assert isinstance(services.mailer, MemoryMailer)
    assert "Your postcard is printed" in [mail.subject for mail in services.mailer.to(owner.email)]
    audited = (await owner.call("GET", "/audit", params={"object_type": "postcard"})).json()["items"]
    assert {entry["action"] for entry in audited} == {"postcard.written", "postcard.printed"}


async def ask_nobody() -> None:
    """Let the real client say, in the words of its contract, that nobody is there."""
    world: Any = outside_world(settings)
    printer = world.printer
    assert not await printer.ready()
    with pytest.raises(OSError, match="the printing house"):
        await printer.print("key", "text")
    await printer.close()


def main() -> None:
    """Look at the tables, then write postcards."""
    assert "postcards.look" in {line.task.name for line in SCHEDULE}
    assert {"postcard.written", "postcard.printed"} <= {event.action for event in MessageHub.handlers}
    asyncio.run(drill())
    asyncio.run(ask_nobody())


if __name__ == "__main__":
    main()
