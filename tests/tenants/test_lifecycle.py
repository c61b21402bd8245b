"""A tenant's life: renamed, deleted, brought back, removed for good; and its last owner."""

import asyncio
import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from app.commands.purge import purge
from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.isolation.lanes import TENANT_TABLES
from tests.support import Caller, Cluster, Team, chained, join, register, settled

CURRENT = "/tenants/current"


async def code(caller: Caller, method: str, path: str, **rest: Any) -> tuple[int, str]:
    """Return status and code of a refusal."""
    answer = await caller.call(method, path, **rest)
    return answer.status_code, answer.json().get("code", "")


async def test_a_tenant_is_renamed(team: Team) -> None:
    """By an admin, with the ETag that was read; everybody sees the new name."""
    read = await team.viewer.call("GET", CURRENT)
    assert read.json()["status"] == "active"
    tag = {"If-Match": read.headers["ETag"]}
    changed = await team.admin.call("PATCH", CURRENT, json={"name": "New Name"}, headers=tag)
    assert (changed.status_code, changed.json()["name"]) == (200, "New Name")
    assert (await code(team.admin, "PATCH", CURRENT, json={"name": "Newer"}, headers=tag))[0] == 412
    assert (await team.viewer.call("GET", CURRENT)).json()["name"] == "New Name"


async def test_a_module_is_switched_off_and_on(team: Team) -> None:
    """Its operations are refused from the next request on; an unknown one cannot be switched."""
    off = {"disabled_modules": ["projects"]}
    assert (await team.owner.call("PATCH", CURRENT, json=off)).status_code == 200
    assert await code(team.viewer, "GET", "/projects") == (403, "module_disabled")
    assert (await team.owner.call("PATCH", CURRENT, json={"disabled_modules": []})).status_code == 200
    assert (await team.viewer.call("GET", "/projects")).status_code == 200
    assert (await code(team.owner, "PATCH", CURRENT, json={"disabled_modules": ["tenants"]}))[0] == 422


async def test_a_deleted_tenant_answers_nobody_until_it_is_restored(team: Team) -> None:
    """Everybody is refused everything but what may bring it back; then all is as it was."""
    project = await team.member.create_project()
    assert (await team.owner.call("DELETE", CURRENT)).status_code == 200
    for role in ("owner", "admin", "member", "viewer"):
        assert await code(team[role], "GET", f"/projects/{project['id']}") == (403, "tenant_deleted")
    listed = (await team.owner.client.get("/tenants", headers={"Authorization": f"Bearer {team.owner.token}"})).json()
    [shown] = [tenant for tenant in listed["items"] if tenant["id"] == str(team.owner.tenant_id)]
    assert shown["status"] == "deleted"
    assert await code(team.admin, "POST", f"{CURRENT}/restore") == (403, "forbidden")
    for _ in range(2):
        restored = await team.owner.call("POST", f"{CURRENT}/restore")
        assert (restored.status_code, restored.json()["status"]) == (200, "active")
    assert (await team.viewer.call("GET", f"/projects/{project['id']}")).status_code == 200


async def age(cluster: Cluster, database: str, caller: Caller, days: float) -> None:
    """Let a tenant have been deleted some days ago."""
    query = "update tenants set deleted_at = now() - cast(:age as interval) where id = :tenant returning 1"
    assert await cluster.rows(database, query, age=dt.timedelta(days=days), tenant=caller.tenant_id)


async def test_after_the_time_of_grace_only_the_audit_remains(team: Team, cluster: Cluster, database: str) -> None:
    """Every other table is empty of it, deleted rows too; the neighbour has everything; the tenant is in no list."""
    for caller in (team.owner, team.stranger):
        await caller.call("DELETE", f"/projects/{(await caller.create_project())['id']}")
        await caller.call("POST", f"{CURRENT}/roles", json={"name": "reader", "permissions": ["projects.read"]})
    assert (await team.owner.call("DELETE", CURRENT)).status_code == 200
    await age(cluster, database, team.owner, settings.tenants.grace_days - 0.1)
    url = cluster.url("app_rw", database)
    before = await rows_of(cluster, database, team.owner)
    await purge(url)
    assert await rows_of(cluster, database, team.owner) == before
    await age(cluster, database, team.owner, settings.tenants.grace_days + 0.1)
    theirs = await rows_of(cluster, database, team.stranger)
    assert (await purge(url))["tenants"] >= 1
    left = await rows_of(cluster, database, team.owner)
    assert {table for table, count in left.items() if count} == {"audit_entries", "audit_chain"}
    assert left["audit_chain"] == left["audit_entries"] == before["audit_entries"] + 1
    assert await rows_of(cluster, database, team.stranger) == theirs
    query = "select name, purged_at from tenants where id = :tenant"
    [tenant] = await cluster.rows(database, query, tenant=team.owner.tenant_id)
    assert (tenant.name, tenant.purged_at is None) == ("", False)
    assert await code(team.owner, "POST", f"{CURRENT}/restore") == (404, "tenant_not_found")
    assert (await purge(url))["tenants"] == 0


async def rows_of(cluster: Cluster, database: str, caller: Caller) -> dict[str, int]:
    """Return how many rows of a tenant each table holds, once nothing moves any more."""
    await settled(cluster, database)
    await chained(cluster, database)
    found = {}
    for table in await cluster.rows(database, TENANT_TABLES):
        query = f"select count(*) from {table.table_name} where tenant_id = :tenant"
        found[table.table_name] = (await cluster.rows(database, query, tenant=caller.tenant_id))[0][0]
    return found


async def test_a_tenant_that_is_restored_meanwhile_stays(team: Team, cluster: Cluster, database: str) -> None:
    """What was due when the purge began, and is not any more, is left alone."""
    await team.owner.call("DELETE", CURRENT)
    await age(cluster, database, team.owner, settings.tenants.grace_days + 1)
    await team.owner.call("POST", f"{CURRENT}/restore")
    await purge(cluster.url("app_rw", database))
    assert (await team.owner.call("GET", CURRENT)).status_code == 200


async def test_the_last_owner_stays(team: Team) -> None:
    """Neither leaves nor is demoted, nor removed, by themselves or through a key; a second owner makes it possible."""
    own = f"{CURRENT}/members/{team.owner.user_id}"
    last = (409, "last_owner")
    assert await code(team.owner, "POST", f"{CURRENT}/leave") == last
    assert await code(team.owner, "PATCH", own, json={"role": "admin"}) == last
    assert await code(team.owner, "DELETE", own) == last
    path = f"{CURRENT}/members/{team.admin.user_id}"
    assert (await team.owner.call("PATCH", path, json={"role": "owner"})).status_code == 200
    assert (await team.owner.call("POST", f"{CURRENT}/leave")).status_code == 200
    assert await code(team.admin, "POST", f"{CURRENT}/leave") == last
    assert await code(team.owner, "GET", CURRENT) == (404, "tenant_not_found")


@pytest.mark.parametrize("way", ["leave", "demote_self", "demote_each_other", "remove_each_other"])
async def test_two_owners_at_once_leave_one(team: Team, cluster: Cluster, database: str, way: str) -> None:
    """However two last owners go at the same moment, one remains."""
    second = await join(cluster, database, team.admin, team.owner.tenant_id, "owner")
    pair = [(team.owner, second), (second, team.owner)]
    requests: dict[str, Callable[[Caller, Caller], tuple[str, str, dict[str, str] | None]]] = {
        "leave": lambda _me, _other: ("POST", f"{CURRENT}/leave", None),
        "demote_self": lambda me, _other: ("PATCH", f"{CURRENT}/members/{me.user_id}", {"role": "viewer"}),
        "demote_each_other": lambda _me, other: ("PATCH", f"{CURRENT}/members/{other.user_id}", {"role": "viewer"}),
        "remove_each_other": lambda _me, other: ("DELETE", f"{CURRENT}/members/{other.user_id}", None),
    }
    owners = "select user_id from memberships where tenant_id = :tenant and role = 'owner'"
    for _ in range(5):
        calls = []
        for me, other in pair:
            method, path, body = requests[way](me, other)
            calls.append(me.call(method, path, json=body))
        answers = await asyncio.gather(*calls)
        assert min(answer.status_code for answer in answers) == 200
        assert {answer.status_code for answer in answers} <= {200, 403, 404, 409}
        assert len(await cluster.rows(database, owners, tenant=team.owner.tenant_id)) == 1
        for person in (team.owner, second):
            await join(cluster, database, person, team.owner.tenant_id, "owner")


async def test_an_owner_hands_over(team: Team) -> None:
    """The member becomes an owner, the former one an admin; a stranger cannot be made one; to oneself is nothing."""
    body = {"user_id": str(team.viewer.user_id)}
    handed = await team.owner.call("POST", f"{CURRENT}/transfer", json=body)
    assert (handed.status_code, handed.json()["role"]) == (200, "owner")
    members = (await team.viewer.call("GET", f"{CURRENT}/members")).json()["items"]
    roles = {member["user_id"]: member["role"] for member in members}
    assert (roles[str(team.viewer.user_id)], roles[str(team.owner.user_id)]) == ("owner", "admin")
    assert await code(team.owner, "POST", f"{CURRENT}/transfer", json=body) == (403, "forbidden")
    stranger = {"user_id": str(team.stranger.user_id)}
    assert await code(team.viewer, "POST", f"{CURRENT}/transfer", json=stranger) == (404, "member_not_found")
    assert (await team.viewer.call("POST", f"{CURRENT}/transfer", json=body)).json()["role"] == "owner"


async def test_who_was_demoted_meanwhile_does_nothing_with_old_rights(
    team: Team, cluster: Cluster, database: str
) -> None:
    """An admin who is demoted while their request waits for the lock is refused by the new role."""
    target = await register(team.owner.client)
    await join(cluster, database, target, team.owner.tenant_id, "viewer")
    for _ in range(5):
        await join(cluster, database, team.admin, team.owner.tenant_id, "admin")
        await join(cluster, database, target, team.owner.tenant_id, "viewer")
        demotion = team.owner.call("PATCH", f"{CURRENT}/members/{team.admin.user_id}", json={"role": "viewer"})
        change = team.admin.call("PATCH", f"{CURRENT}/members/{target.user_id}", json={"role": "member"})
        demoted, changed = await asyncio.gather(demotion, change)
        assert demoted.status_code == 200
        assert changed.status_code in {200, 403}
        again = await code(team.admin, "PATCH", f"{CURRENT}/members/{target.user_id}", json={"role": "member"})
        assert again == (403, "forbidden")


async def test_nobody_selects_the_tenant_of_what_has_none(team: Team) -> None:
    """The fixed tenant that owns failed sign-ins has no members."""
    system = replace(team.owner, tenant_id=SYSTEM_TENANT_ID)
    assert await code(system, "GET", CURRENT) == (404, "tenant_not_found")
