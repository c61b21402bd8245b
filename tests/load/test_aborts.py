"""Two hundred requests at once over a real wire, a tenth of them given up by the client."""

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.config import settings
from app.main import create_app
from app.routes import PREFIX
from tests.load.crowd import Ask, House, requests, send, settle, shuffle
from tests.served import running
from tests.support import Cluster, settled

HOUSES = 20
CREATED = """
    select projects.name, projects.id, projects.tenant_id, projects.created_by, projects.version, projects.description,
    (select count(*) from audit_entries as audit where audit.object_id = projects.id
        and audit.action = 'project.created' and audit.request_id = projects.name
        and audit.actor_id = projects.created_by and audit.tenant_id = projects.tenant_id) as audited,
    (select array_agg(notice.user_id order by notice.user_id) from notifications as notice
        where notice.object_id = projects.id and notice.kind = 'project.created'
        and notice.tenant_id = projects.tenant_id) as told,
    (select array_agg(member.user_id order by member.user_id) from memberships as member
        where member.tenant_id = projects.tenant_id) as members
    from projects
"""
AUDITED = """
    select request_id, tenant_id, actor_id, action, object_id from audit_entries where request_id like 'house%'
"""
ORPHANS = """
    select count(*) from notifications where object_id not in (select id from projects)
    or not exists (select from projects as one
        where one.id = notifications.object_id and one.tenant_id = notifications.tenant_id)
"""
OPEN = """
    select state, query from pg_stat_activity
    where datname = current_database() and usename = 'app_rw' and state <> 'idle'
    union all select mode, locktype from pg_locks
    where pid in (select pid from pg_stat_activity where datname = current_database() and usename = 'app_rw')
"""
"""What requests hold; the relay and the runs work on."""


@dataclass(frozen=True)
class Site:
    """A server of this test's own, the database behind it, and the people who call."""

    app: FastAPI
    server: uvicorn.Server
    port: int
    cluster: Cluster
    database: str
    houses: list[House]

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Return what the superuser finds."""
        return await self.cluster.rows(self.database, query, **values)

    @property
    def pools(self) -> list[Any]:
        """Return both pools of the application."""
        work = self.app.state.serving.gate.work
        return [sessions.kw["bind"].pool for sessions in (work.sessions, work.reserve)]


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells us of."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


@pytest.fixture
async def site(cluster: Cluster) -> AsyncIterator[Site]:
    """Serve twenty tenants from a database of their own; a pool of ten, and a patience that the crowd does not try."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    config = settings.model_copy(
        update={"database": settings.database.model_copy(update={"pool_size": 10, "pool_timeout": 60.0})}
    )
    app = create_app(config, url=cluster.url("app_rw", database))
    with running(app) as (server, port):
        await until(lambda: server.started)
        async with AsyncClient(base_url=f"http://127.0.0.1:{port}{PREFIX}", trust_env=False, timeout=30) as client:
            houses = await settle(client, cluster, database, HOUSES)
        yield Site(app, server, port, cluster, database, houses)
    await cluster.drop(database)


async def test_a_crowd_that_leaves_in_the_middle(site: Site) -> None:
    """No row is mixed, no decision wrong, no connection lost; what was answered is done, the rest whole or not."""
    asks = shuffle(requests(site.houses), seed=7)
    assert Counter(ask.leaving for ask in asks)[None] == 180
    async with asyncio.timeout(60):
        await asyncio.gather(*(send(site.port, ask) for ask in asks))
        await come_to_rest(site)
    assert [pool.checkedout() for pool in site.pools] == [0, 0]
    await released(site)
    await settled(site.cluster, site.database, seconds=60)
    check_decisions(asks)
    await check_lists(site, asks)
    await check_created(site, asks)
    await check_changed(site, asks)


async def come_to_rest(site: Site) -> None:
    """Return when nothing is under way: who is served last came last, so nobody waits at the door any more."""
    last = Ask("last", site.houses[0].viewer, "GET", "/projects", 200)
    await send(site.port, last)
    assert last.status == 200
    state = site.server.server_state
    await until(lambda: not state.tasks and not state.connections)


async def released(site: Site) -> None:
    """Return when no request holds anything in the database: it hears a moment later of what ended."""
    async with asyncio.timeout(10):
        while await site.rows(OPEN):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.05)


def check_decisions(asks: list[Ask]) -> None:
    """Hold each answer against what is due to its caller, and against who asked."""
    waited = [ask for ask in asks if ask.leaving is None]
    assert [(str(ask), ask.status) for ask in waited if ask.status != ask.expected] == []
    assert [str(ask) for ask in waited if ask.request_id != ask.key] == []
    assert {ask.expected for ask in waited} == {200, 201, 403, 404}


async def check_lists(site: Site, asks: list[Ask]) -> None:
    """Look whether every row that was shown is of the tenant that was selected."""
    owners = {str(row.id): row.tenant_id for row in await site.rows("select id, tenant_id from projects")}
    shown = 0
    for ask in asks:
        if ask.status not in {200, 201}:
            continue
        rows = ask.answer["items"] if ask.method == "GET" else [ask.answer]
        assert {owners[row["id"]] for row in rows} == {ask.caller.tenant_id}, ask
        assert ask.method == "GET" or ask.answer["description"] == ask.body["description"], ask
        shown += len(rows)
    assert shown > 100


async def check_created(site: Site, asks: list[Ask]) -> None:
    """Find each project with its audit row and a notice to each member, or none of the three."""
    rows = {row.name: row for row in await site.rows(CREATED)}
    posts = {ask.key: ask for ask in asks if ask.method == "POST"}
    assert {name for name in rows if name.startswith("house")} <= posts.keys()
    for key, ask in posts.items():
        row = rows.get(key)
        assert row is not None or not ask.must_succeed, ask
        assert row is None or not ask.must_fail, ask
        if row is not None:
            assert (row.tenant_id, row.created_by) == (ask.caller.tenant_id, ask.caller.user_id), ask
            assert (row.description, row.version) == (ask.body["description"], 1), ask
            assert (row.audited, len(row.members), row.told) == (1, 3, row.members), ask
    audited = await site.rows(f"{AUDITED} and action = 'project.created'")
    assert Counter(row.request_id for row in audited) == Counter(posts.keys() & rows.keys())
    assert (await site.rows(ORPHANS))[0][0] == 0


async def check_changed(site: Site, asks: list[Ask]) -> None:
    """Find each changed project with its new text, its next version and an audit row, or none of the three."""
    rows = {str(row.id): row for row in await site.rows(CREATED)}
    audited = Counter(
        (row.request_id, str(row.object_id), row.tenant_id, row.actor_id)
        for row in await site.rows(f"{AUDITED} and action = 'project.updated'")
    )
    changed = 0
    for ask in asks:
        if ask.method != "PATCH":
            continue
        project = ask.path.rpartition("/")[2]
        done = rows[project].description == ask.body["description"]
        assert done or not ask.must_succeed, ask
        assert not (done and ask.must_fail), ask
        assert audited[(ask.key, project, ask.caller.tenant_id, ask.caller.user_id)] == int(done), ask
        assert not done or rows[project].version == 2, ask
        changed += done
    assert sum(audited.values()) == changed
