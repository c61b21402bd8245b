"""Refused attempts: who tried what, in whose audit, and that a flood of them is none there."""

import io
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest
from httpx2 import AsyncClient

from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from app.extensions import logs
from app.main import create_app
from tests.support import Caller, Cluster, Team, limited, register, serve


async def denials(cluster: Cluster, database: str, actor_id: uuid.UUID) -> list[Any]:
    """Return the refused attempts of an actor, oldest first."""
    query = "select * from audit_entries where actor_id = :actor and action = 'access.denied' order by id"
    return await cluster.rows(database, query, actor=actor_id)


async def key_of(caller: Caller, **fields: Any) -> Caller:
    """Return who calls by a new key of a caller."""
    body = {"name": "k", "permissions": ["projects.read"], **fields}
    made = await caller.call("POST", "/tenants/current/api-keys", json=body)
    assert made.status_code == 201, made.text
    return replace(caller, token=made.json()["key"])


async def test_a_missing_permission(team: Team, cluster: Cluster, database: str) -> None:
    """The row says who, on what, which permission was wanted, from where and in which request."""
    made = await team.owner.create_project()
    asked = {"X-Request-ID": "a-refused-one"}
    refused = await team.viewer.call("DELETE", f"/projects/{made['id']}", headers=asked)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    (row,) = await denials(cluster, database, team.viewer.user_id)
    assert (row.tenant_id, row.object_type, row.outcome) == (team.owner.tenant_id, "access", "denied")
    assert (str(row.object_id), row.request_id, row.address) == (made["id"], "a-refused-one", "127.0.0.1")
    assert row.after == {
        "operation": "project_delete",
        "permission": "projects.write",
        "code": "forbidden",
        "tenant_id": str(team.owner.tenant_id),
    }
    shown = (await team.owner.call("GET", "/audit", params={"outcome": "denied"})).json()["items"]
    assert [entry["id"] for entry in shown] == [str(row.id)]


async def test_a_check_that_says_no(team: Team, cluster: Cluster, database: str) -> None:
    """Somebody else's project: the permission is there, the rule about the object refuses."""
    made = await team.owner.create_project()
    assert (await team.member.call("DELETE", f"/projects/{made['id']}")).status_code == 403
    (row,) = await denials(cluster, database, team.member.user_id)
    assert (str(row.object_id), row.after["operation"]) == (made["id"], "project_delete")


async def test_what_else_is_refused(team: Team, cluster: Cluster, database: str) -> None:
    """A module that is off, a superuser's operation, and more than one holds oneself: each with its code."""
    off = {"disabled_modules": ["projects"]}
    assert (await team.owner.call("PATCH", "/tenants/current", json=off)).status_code == 200
    assert (await team.admin.call("GET", "/projects")).status_code == 403
    assert (await team.admin.call("GET", "/superuser/tenants")).status_code == 403
    role = {"role": "owner"}
    beyond = await team.admin.call("PATCH", f"/tenants/current/members/{team.viewer.user_id}", json=role)
    assert beyond.status_code == 403
    rows = await denials(cluster, database, team.admin.user_id)
    assert [(row.tenant_id, row.after["code"]) for row in rows] == [
        (team.owner.tenant_id, "module_disabled"),
        (SYSTEM_TENANT_ID, "forbidden"),
        (team.owner.tenant_id, beyond.json()["code"]),
    ]
    assert rows[1].after["permission"] == "superuser"


async def test_a_key_outside_its_scope(team: Team, cluster: Cluster, database: str) -> None:
    """A service account is the actor, on behalf of who made the key; a person's own key is the person."""
    account = (await team.admin.call("POST", "/tenants/current/service-accounts", json={"name": "robot"})).json()["id"]
    robot, own = await key_of(team.admin, service_account_id=account), await key_of(team.admin)
    for caller in (robot, own):
        assert (await caller.call("POST", "/projects", json={"name": "x"})).status_code == 403
    (row,) = await denials(cluster, database, uuid.UUID(account))
    assert (row.tenant_id, row.on_behalf_of) == (team.owner.tenant_id, team.admin.user_id)
    (row,) = await denials(cluster, database, team.admin.user_id)
    assert row.on_behalf_of is None


async def test_what_a_service_account_does_names_the_keys_maker(team: Team, cluster: Cluster, database: str) -> None:
    """The change that it makes, too: the account acts, the maker of the key is behind it."""
    account = (await team.admin.call("POST", "/tenants/current/service-accounts", json={"name": "robot"})).json()["id"]
    robot = await key_of(team.admin, service_account_id=account, permissions=["projects.write"])
    made = await robot.create_project()
    query = "select actor_id, on_behalf_of from audit_entries where object_id = :id"
    found = await cluster.rows(database, query, id=uuid.UUID(made["id"]))
    assert [tuple(row) for row in found] == [(uuid.UUID(account), team.admin.user_id)]


async def test_a_stranger_leaves_nothing_in_the_tenant(team: Team, cluster: Cluster, database: str) -> None:
    """Who selects a tenant without a place in it is in the system tenant's audit, whether there is such a tenant."""
    for tenant_id in (team.owner.tenant_id, uuid.uuid4()):
        answer = await replace(team.stranger, tenant_id=tenant_id).call("GET", "/projects")
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")
        row = (await denials(cluster, database, team.stranger.user_id))[-1]
        assert (row.tenant_id, row.after["tenant_id"]) == (SYSTEM_TENANT_ID, str(tenant_id))


async def test_who_is_nobody_is_not_in_the_audit(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """A 401 names no person."""
    query = "select count(*) from audit_entries where action = 'access.denied' and actor_id is null"
    headers = {"Authorization": "Bearer nonsense", "X-Tenant-ID": str(uuid.uuid4())}
    assert (await client.get("/projects", headers=headers)).status_code == 401
    assert await cluster.rows(database, query) == [(0,)]


@pytest.fixture
async def narrow(cluster: Cluster, database: str) -> AsyncIterator[AsyncClient]:
    """Open an application in which an actor's refused attempts fill three rows a minute."""
    async with serve(create_app(limited(denied="3/minute"), url=cluster.url("app_rw", database))) as client:
        yield client


async def test_a_flood_is_refused_and_not_kept(narrow: AsyncClient, cluster: Cluster, database: str) -> None:
    """Beyond the limit the answers are the same, and no row is added; another actor has room."""
    for caller in [await register(narrow) for _ in range(2)]:
        answers = [await caller.call("GET", "/superuser/tenants") for _ in range(8)]
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(403, "forbidden")}
        assert len(await denials(cluster, database, caller.user_id)) == 3


@asynccontextmanager
async def unwritable(cluster: Cluster) -> AsyncIterator[tuple[AsyncClient, str]]:
    """Yield a client of an application whose audit takes no row any more once somebody has registered."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    try:
        async with serve(create_app(url=cluster.url("app_rw", name))) as client:
            yield client, name
    finally:
        await cluster.drop(name)


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Return what the log is written to; put logging back after the test."""
    yield io.BytesIO()
    logs.configure(settings.log.level, settings.log.format)


async def test_a_row_that_cannot_be_written_changes_no_answer(cluster: Cluster, stream: io.BytesIO) -> None:
    """The caller is refused as always, not told of a failure; the log keeps what the row would have said."""
    async with unwritable(cluster) as (client, name):
        caller = await register(client)
        await cluster.run("revoke insert on audit_entries from app_rw", name)
        logs.configure("ERROR", "json", stream)
        answer = await caller.call("GET", "/superuser/tenants")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        said = [orjson.loads(one) for one in stream.getvalue().splitlines()]
        (line,) = [one for one in said if one["event"] == "denial_not_audited"]
        assert line["actor"] == str(caller.user_id)
        assert (line["operation"], line["permission"]) == ("superuser_list_tenants", "superuser")
        assert await denials(cluster, name, caller.user_id) == []
