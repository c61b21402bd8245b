"""Roles of a tenant's own, and that nobody grants or takes what they do not hold."""

import uuid
from dataclasses import replace
from typing import Any

import pytest

from app.core.permissions import CATALOGUE, BuiltInRole, built_in_roles
from tests.support import Caller, Team
from tests.tenants.invited import invite, new_address

OWNERS_ALONE = sorted(built_in_roles()["owner"] - built_in_roles()["admin"])


async def make(caller: Caller, name: str, *permissions: str) -> dict[str, Any]:
    """Make a role and return it."""
    body = {"name": name, "permissions": list(permissions)}
    answer = await caller.call("POST", "/tenants/current/roles", json=body)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def give(caller: Caller, member: Caller, role: str) -> int:
    """Give a member a role; return the status."""
    path = f"/tenants/current/members/{member.user_id}"
    return (await caller.call("PATCH", path, json={"role": role})).status_code


async def code(caller: Caller, method: str, path: str, **rest: Any) -> tuple[int, str]:
    """Return status and code of a refusal."""
    answer = await caller.call(method, path, **rest)
    return answer.status_code, answer.json()["code"]


async def test_a_role_permits_what_it_says_from_the_next_request_on(team: Team) -> None:
    """Made, given, widened and narrowed: each time the member's next request is judged by it."""
    role = await make(team.owner, "reader", "projects.read")
    assert await give(team.owner, team.viewer, "reader") == 200
    path = f"/tenants/current/roles/{role['id']}"
    steps = [(["projects.read"], 200, 403), (["projects.read", "projects.write"], 200, 201), ([], 403, 403)]
    for permissions, reads, writes in steps:
        assert (await team.owner.call("PATCH", path, json={"permissions": permissions})).status_code == 200
        assert (await team.viewer.call("GET", "/projects")).status_code == reads
        body = {"name": str(uuid.uuid4())}
        assert (await team.viewer.call("POST", "/projects", json=body)).status_code == writes


async def test_the_list_begins_with_the_built_in_four(team: Team) -> None:
    """They have no id, so there is nothing that could be changed; the tenant's own follow by name."""
    for name in ("zebra", "auditor"):
        await make(team.owner, name)
    first = (await team.viewer.call("GET", "/tenants/current/roles", params={"limit": 1})).json()
    assert [role["name"] for role in first["items"]] == [*BuiltInRole, "auditor"]
    assert [role["id"] for role in first["items"] if role["built_in"]] == [None] * 4
    assert first["items"][0]["permissions"] == sorted(built_in_roles()["owner"])
    rest = {"limit": 1, "cursor": first["next_cursor"]}
    second = (await team.viewer.call("GET", "/tenants/current/roles", params=rest)).json()
    assert ([role["name"] for role in second["items"]], second["next_cursor"]) == (["zebra"], None)


@pytest.mark.parametrize("name", [*BuiltInRole, "reader"])
async def test_a_name_is_taken_once(team: Team, name: str) -> None:
    """The names of the built-in roles, and those of the tenant's own; another tenant may use the same."""
    if name not in set(BuiltInRole):
        await make(team.owner, name)
        await make(team.stranger, name)
    body = {"name": name, "permissions": []}
    assert await code(team.owner, "POST", "/tenants/current/roles", json=body) == (409, "role_name_taken")


@pytest.mark.parametrize("permission", OWNERS_ALONE)
async def test_nobody_grants_what_they_do_not_hold(team: Team, permission: str) -> None:
    """An admin cannot make, widen, narrow, delete, give or offer a role with an owner's permission."""
    refused = (403, "grant_refused")
    body = {"name": "mine", "permissions": [permission]}
    assert await code(team.admin, "POST", "/tenants/current/roles", json=body) == refused
    strong, weak = await make(team.owner, "strong", permission), await make(team.owner, "weak", "projects.read")
    weak_path, strong_path = (f"/tenants/current/roles/{role['id']}" for role in (weak, strong))
    assert await code(team.admin, "PATCH", weak_path, json={"permissions": ["projects.read", permission]}) == refused
    assert await code(team.admin, "PATCH", strong_path, json={"permissions": []}) == refused
    assert await code(team.admin, "DELETE", strong_path) == refused
    member = f"/tenants/current/members/{team.member.user_id}"
    for role in ("strong", "owner"):
        assert await code(team.admin, "PATCH", member, json={"role": role}) == refused
        assert (await invite(team.admin, new_address(), role)).json()["code"] == "grant_refused"
    assert await give(team.owner, team.member, "strong") == 200
    assert await code(team.admin, "PATCH", member, json={"role": "viewer"}) == refused
    assert await code(team.admin, "DELETE", member) == refused


async def test_an_admin_touches_no_owner(team: Team) -> None:
    """Neither demotes nor removes one, nor makes themselves one."""
    path = f"/tenants/current/members/{team.owner.user_id}"
    assert await code(team.admin, "PATCH", path, json={"role": "viewer"}) == (403, "grant_refused")
    assert await code(team.admin, "DELETE", path) == (403, "grant_refused")
    own = f"/tenants/current/members/{team.admin.user_id}"
    assert await code(team.admin, "PATCH", own, json={"role": "owner"}) == (403, "grant_refused")
    body = {"user_id": str(team.admin.user_id)}
    assert await code(team.admin, "POST", "/tenants/current/transfer", json=body) == (403, "forbidden")


async def test_a_role_in_use_is_not_deleted(team: Team) -> None:
    """Neither one that a member has nor one that an invitation offers; afterwards it goes."""
    role = await make(team.owner, "temp", "projects.read")
    path = f"/tenants/current/roles/{role['id']}"
    await give(team.owner, team.viewer, "temp")
    assert await code(team.owner, "DELETE", path) == (409, "role_in_use")
    await give(team.owner, team.viewer, "viewer")
    offered = (await invite(team.owner, new_address(), "temp")).json()
    assert await code(team.owner, "DELETE", path) == (409, "role_in_use")
    await team.owner.call("DELETE", f"/tenants/current/invitations/{offered['id']}")
    assert (await team.owner.call("DELETE", path)).status_code == 200


@pytest.mark.parametrize("role", ["no-such-role", "Owner", "", "owner ", "admin\n"])
async def test_an_unknown_role_is_refused(team: Team, role: str) -> None:
    """By the tenant's roles, or by the form of a name."""
    path = f"/tenants/current/members/{team.viewer.user_id}"
    answer = await team.owner.call("PATCH", path, json={"role": role})
    assert (answer.status_code, answer.json()["code"] in {"unknown_role", "validation_error"}) == (422, True)
    assert (await team.viewer.call("GET", "/projects")).status_code == 200


async def test_a_role_of_another_tenant_is_unknown(team: Team) -> None:
    """A name that only another tenant has is no role here; its id names nothing."""
    theirs = await make(team.stranger, "theirs", *sorted(CATALOGUE))
    assert await give(team.owner, team.viewer, "theirs") == 422
    path = f"/tenants/current/roles/{theirs['id']}"
    assert await code(team.owner, "PATCH", path, json={"permissions": []}) == (404, "role_not_found")
    assert await code(team.owner, "DELETE", path) == (404, "role_not_found")


async def test_an_unknown_permission_is_refused(team: Team) -> None:
    """It is named in the answer by its place, not by its value."""
    body = {"name": "odd", "permissions": ["projects.read", "no.such"]}
    answer = await team.owner.call("POST", "/tenants/current/roles", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "permissions", 1])
    assert "no.such" not in answer.text


async def test_a_person_has_the_role_of_each_tenant(team: Team) -> None:
    """One's own role there gives nothing here."""
    await make(team.stranger, "reader", "projects.read")
    await make(team.owner, "reader", "tenants.read")
    await give(team.owner, team.viewer, "reader")
    assert (await team.viewer.call("GET", "/projects")).status_code == 403
    assert (await replace(team.viewer, tenant_id=team.stranger.tenant_id).call("GET", "/projects")).status_code == 404
