"""Superusers: what they see across tenants, what they stop, and that each look is written down."""

import asyncio
import uuid
from typing import Any

import pytest

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.support import PASSWORD, Caller, Cluster, Team, register


@pytest.fixture
async def root(team: Team, cluster: Cluster, database: str) -> Caller:
    """Make somebody a superuser."""
    person = await register(team.owner.client, "Root")
    query = "update users set is_superuser = true where id = :user returning 1"
    assert await cluster.rows(database, query, user=person.user_id)
    return person


async def audited(cluster: Cluster, database: str, root: Caller) -> list[Any]:
    """Return what a superuser did, oldest first."""
    query = "select * from audit_entries where actor_id = :actor order by created_at, id"
    return await cluster.rows(database, query, actor=root.user_id)


async def test_tenants_are_found_by_name(root: Caller, team: Team, cluster: Cluster, database: str) -> None:
    """Any tenant, whoever is in it; the one of what has no tenant is none; each look leaves a row."""
    name = f"Needle {uuid.uuid4()} 100%_"
    await team.owner.call("PATCH", "/tenants/current", json={"name": name})
    for search, hits in ((name, 1), (name.upper(), 1), (f"{name}x", 0), ("%", 1)):
        page = (await root.call("GET", "/superuser/tenants", params={"search": search, "limit": 100})).json()
        assert "items" in page, page
        found = [tenant["name"] for tenant in page["items"]]
        assert found.count(name) == hits, search
        assert all("%" in one for one in found) or search != "%"
    everything = (await root.call("GET", "/superuser/tenants", params={"limit": 100})).json()
    ids = {tenant["id"] for tenant in everything["items"]}
    assert {str(team.owner.tenant_id), str(team.stranger.tenant_id)} <= ids
    assert str(SYSTEM_TENANT_ID) not in ids
    rows = [row for row in await audited(cluster, database, root) if row.action == "tenant.searched"]
    assert [row.after["search"] for row in rows] == [name, name.upper(), f"{name}x", "%", None]
    assert {row.tenant_id for row in rows} == {SYSTEM_TENANT_ID}


async def test_people_are_found(root: Caller, team: Team, cluster: Cluster, database: str) -> None:
    """By a part of the address, page by page; passwords and sessions are no part of the answer."""
    part = team.viewer.email[:20]
    page = (await root.call("GET", "/superuser/users", params={"search": part})).json()
    assert [person["email"] for person in page["items"]] == [team.viewer.email]
    assert page["items"][0].keys() == {"id", "email", "full_name", "is_superuser", "disabled_at", "created_at"}
    first = (await root.call("GET", "/superuser/users", params={"limit": 1})).json()
    rest = {"limit": 1, "cursor": first["next_cursor"]}
    second = (await root.call("GET", "/superuser/users", params=rest)).json()
    assert first["items"] != second["items"]
    assert {row.action for row in await audited(cluster, database, root)} >= {"user.searched"}


async def test_a_suspended_tenant_answers_nobody_until_resumed(
    root: Caller, team: Team, cluster: Cluster, database: str
) -> None:
    """From the next request on, for every role and for keys; other tenants go on; both are in the tenant's audit."""
    key = {"name": "k", "permissions": ["projects.read"]}
    secret = (await team.owner.call("POST", "/tenants/current/api-keys", json=key)).json()["key"]
    path = f"/superuser/tenants/{team.owner.tenant_id}"
    for _ in range(2):
        suspended = await root.call("POST", f"{path}/suspend")
        assert (suspended.status_code, suspended.json()["status"]) == (200, "suspended")
    bearer = {"Authorization": f"Bearer {secret}"}
    for role in ("owner", "admin", "member", "viewer"):
        for headers in ({}, bearer):
            answer = await team[role].call("GET", "/projects", headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "tenant_suspended")
    assert (await team.owner.call("DELETE", "/tenants/current")).json()["code"] == "tenant_suspended"
    assert (await team.stranger.call("GET", "/projects")).status_code == 200
    assert (await root.call("POST", f"{path}/resume")).json()["status"] == "active"
    assert (await team.viewer.call("GET", "/projects", headers=bearer)).status_code == 200
    rows = [row for row in await audited(cluster, database, root) if row.tenant_id == team.owner.tenant_id]
    assert [row.action for row in rows] == ["tenant.suspended", "tenant.resumed"]


async def test_a_disabled_person_is_refused_at_once(root: Caller, team: Team, cluster: Cluster, database: str) -> None:
    """Access token, refresh and sign-in: none is accepted after the answer; enabled, they sign in anew."""
    client, email = team.member.client, team.member.email
    tokens = (await client.post("/auth/login", json={"email": email, "password": PASSWORD})).json()
    path = f"/superuser/users/{team.member.user_id}"
    during = [team.member.call("GET", "/projects") for _ in range(10)]
    disabled, *_ = await asyncio.gather(root.call("POST", f"{path}/disable"), *during)
    assert disabled.status_code == 200
    after = await asyncio.gather(*(team.member.call("GET", "/projects") for _ in range(10)))
    assert {answer.status_code for answer in after} == {401}
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert (await client.post("/auth/refresh", json=refresh)).status_code == 401
    wrong = await client.post("/auth/login", json={"email": email, "password": PASSWORD})
    assert (wrong.status_code, wrong.json()["code"]) == (401, "wrong_credentials")
    assert (await root.call("POST", f"{path}/enable")).status_code == 200
    assert (await team.member.call("GET", "/projects")).status_code == 401
    assert (await client.post("/auth/login", json={"email": email, "password": PASSWORD})).status_code == 200
    actions = [row.action for row in await audited(cluster, database, root)]
    assert [one for one in actions if one.startswith("user.")] == ["user.registered", "user.disabled", "user.enabled"]


async def test_a_disabled_persons_keys_are_refused(root: Caller, team: Team) -> None:
    """Those that act as the person; a service account's go on."""
    scope: dict[str, Any] = {"name": "k", "permissions": ["projects.read"]}
    account = (await team.admin.call("POST", "/tenants/current/service-accounts", json={"name": "robot"})).json()["id"]
    own, robots = [
        (await team.admin.call("POST", "/tenants/current/api-keys", json=scope | extra)).json()["key"]
        for extra in ({}, {"service_account_id": account})
    ]
    await root.call("POST", f"/superuser/users/{team.admin.user_id}/disable")
    client = team.owner.client
    statuses = [
        (await client.get("/projects", headers={"Authorization": f"Bearer {key}"})).status_code for key in (own, robots)
    ]
    assert statuses == [401, 200]


async def test_what_is_not_there_is_404(root: Caller) -> None:
    """No such tenant, no such person, and the tenant of what has none."""
    for path in (f"tenants/{uuid.uuid4()}/suspend", f"tenants/{SYSTEM_TENANT_ID}/suspend"):
        answer = await root.call("POST", f"/superuser/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_tenant")
    answer = await root.call("POST", f"/superuser/users/{uuid.uuid4()}/disable")
    assert (answer.status_code, answer.json()["code"]) == (404, "user_not_found")


async def test_nobody_disables_themselves(root: Caller) -> None:
    """So the last superuser cannot lock everybody out by a slip."""
    answer = await root.call("POST", f"/superuser/users/{root.user_id}/disable")
    assert (answer.status_code, answer.json()["code"]) == (409, "own_account")


async def test_a_superuser_sees_no_business(root: Caller, team: Team) -> None:
    """Being one opens no tenant: its projects, members and audit stay its own."""
    for path in ("/projects", "/tenants/current/members", "/tenants/current"):
        answer = await root.call("GET", path, headers={"X-Tenant-ID": str(team.owner.tenant_id)})
        assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")
