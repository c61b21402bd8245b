"""Every operation with every documented parameter, called from outside: a marker never comes to light."""

import io
from collections.abc import AsyncIterator, Iterator

import pytest

from app.config import settings
from app.core.openapi import document
from app.extensions import logs
from app.main import bare_app
from tests.examples import operations_of
from tests.figures import Figure
from tests.isolation.canary import UNMARKED, Outsiders, Watch, mark, seen_by_the_rival, try_everything
from tests.isolation.lanes import Lane, open_lane
from tests.isolation.rivals import Rival, furnish
from tests.support import Cluster

OPERATIONS = operations_of(document(bare_app()))
ROLES = ["owner", "viewer", "key", "superuser"]
SEEN_BY_SUPERUSERS = frozenset(
    {
        "GET /superuser/tenants",  # lists tenants by name
        "GET /superuser/users",  # lists people by name
        "POST /superuser/tenants/{tenant_id}/suspend",  # shows the tenant that was suspended
        "POST /superuser/tenants/{tenant_id}/resume",  # shows the tenant that goes on
    }
)
"""Where a superuser sees the name of a tenant, which is the point; nobody else does, and they see no more of it."""


@pytest.fixture
def log() -> Iterator[io.BytesIO]:
    """Catch every line of one test's log, from INFO on."""
    stream = io.BytesIO()
    logs.configure("INFO", "json", stream)
    yield stream
    logs.configure(settings.log.level, settings.log.format)


@pytest.fixture(scope="module")
async def shipped(cluster: Cluster) -> AsyncIterator[tuple[Lane, Rival]]:
    """Open an installation as it is shipped, with a rival whose every text is marked."""
    async with open_lane(cluster) as lane:
        rival = await furnish(lane)
        await mark(lane, rival)
        yield lane, rival


async def test_every_text_is_marked(cluster: Cluster) -> None:
    """Each text of each table that holds rows of tenants bears the marker, but for the listed ones."""
    async with open_lane(cluster) as lane:
        rival = await furnish(lane)
        marked = await mark(lane, rival)
        for name in marked:
            table, column = name.split(".")
            key = "id" if table == "tenants" else "tenant_id"
            query = f"select {column} as value from {table} where {key} = :tenant"
            values = [row.value for row in await lane.run(query, tenant=rival.owner.tenant_id)]
            # The sequencer has emptied this one.
            assert values or table == "audit_unchained", name
            assert all(rival.marker in (v.decode() if isinstance(v, bytes) else str(v)) for v in values), name
        assert not UNMARKED.keys() & set(marked)


@pytest.mark.parametrize("who", ROLES)
async def test_the_marker_is_nowhere(shipped: tuple[Lane, Rival], log: io.BytesIO, figure: Figure, who: str) -> None:
    """Neither in bodies nor headers, mails, the log or rows, whatever somebody from outside sends."""
    watch = Watch(*shipped, SEEN_BY_SUPERUSERS if who == "superuser" else frozenset())
    operations = [one for one in OPERATIONS if who != "superuser" or one.access == "superuser"]
    mails = len(watch.lane.app.state.serving.gate.work.services.mailer.sent)
    outsiders = None
    for operation in operations:
        outsiders = outsiders or await Outsiders.settle(watch.lane)
        caller = outsiders.people[who]
        done = await try_everything(watch, operation, who, caller)
        if done and not operation.is_read:
            await watch.look_behind(caller, mails)
            # A write may have closed their tenant.
            outsiders = None
    if outsiders is not None:
        await watch.look_behind(outsiders.people[who], mails)
    written = log.getvalue().decode()
    watch.look("the log", written)
    assert written.count('"event":"request"') > watch.requests
    figure(f"as {who}: {len(operations)} operations, {watch.requests} requests, {len(written)} bytes of log, 0 markers")
    assert watch.sightings == []


async def test_the_rival_sees_the_marker(cluster: Cluster, figure: Figure) -> None:
    """The same check finds it where it may be: in every list of the tenant's own."""
    async with open_lane(cluster) as lane:
        rival = await furnish(lane)
        await mark(lane, rival)
        found = [name async for name in seen_by_the_rival(Watch(lane, rival), OPERATIONS)]
    figure(f"as the rival: the marker is in the answers of {len(found)} reads")
    assert {"GET /projects", "GET /notifications", "GET /tenants/current", "GET /tenants/current/roles"} <= set(found)


@pytest.mark.parametrize("name", ["GET /projects", "GET /tenants/current/roles", "GET /tenants/current/api-keys"])
async def test_without_both_lines_the_marker_comes_to_light(control: Lane, name: str) -> None:
    """The check can fail: with neither line the very same calls show the marker."""
    rival = await furnish(control)
    await mark(control, rival)
    watch = Watch(control, rival)
    [operation] = [one for one in OPERATIONS if str(one) == name]
    caller = (await Outsiders.settle(control)).people["owner"]
    await try_everything(watch, operation, "owner", caller)
    assert any("answered owner 200" in sighting for sighting in watch.sightings), watch.sightings
