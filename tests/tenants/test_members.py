"""Members: who they are, and what their role lets them do in each of their tenants."""

from typing import Any

import pytest

from app.core.permissions import BuiltInRole
from app.core.unit_of_work import UnitOfWork
from app.tenants.exceptions import AlreadyMemberError
from app.tenants.services import MemberService
from tests.support import Caller, Cluster, Team, join

MEMBERS = "/tenants/current/members"


async def list_members(caller: Caller, **query: Any) -> dict[str, Any]:
    """Return one page of the members of the selected tenant."""
    answer = await caller.call("GET", MEMBERS, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


@pytest.mark.parametrize("role", ["owner", "admin", "member", "viewer"])
async def test_everybody_sees_the_members(team: Team, role: str) -> None:
    """Each role sees all members with their roles, longest-standing first."""
    page = await list_members(team[role])
    people = [team.owner, team.admin, team.member, team.viewer]
    assert [member["user_id"] for member in page["items"]] == [str(person.user_id) for person in people]
    assert [member["role"] for member in page["items"]] == ["owner", "admin", "member", "viewer"]
    assert [member["email"] for member in page["items"]] == [person.email for person in people]
    assert page["items"][0].keys() == {"user_id", "email", "full_name", "role", "created_at"}
    assert page["next_cursor"] is None


async def test_the_list_holds_one_tenants_members(team: Team, cluster: Cluster, database: str) -> None:
    """Somebody with two tenants sees in each list that tenant's people, and their role there."""
    outside = await join(cluster, database, team.viewer, team.stranger.tenant_id, "admin")
    inside, other = await list_members(team.viewer), await list_members(outside)
    assert {member["user_id"]: member["role"] for member in other["items"]} == {
        str(team.stranger.user_id): "owner",
        str(team.viewer.user_id): "admin",
    }
    assert str(team.stranger.user_id) not in {member["user_id"] for member in inside["items"]}
    assert len(inside["items"]) == 4


async def test_pages_of_members(team: Team) -> None:
    """Pages of three and one hold each member once."""
    first = await list_members(team.viewer, limit=3)
    second = await list_members(team.viewer, limit=3, cursor=first["next_cursor"])
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (3, 1, None)
    assert first["items"] + second["items"] == (await list_members(team.viewer))["items"]
    assert (await list_members(team.viewer, limit=4))["next_cursor"] is None


async def test_a_stranger_finds_no_such_tenant(team: Team) -> None:
    """Who is no member gets the 404 of a tenant that is not there."""
    answer = await team.stranger.call("GET", MEMBERS, headers={"X-Tenant-ID": str(team.owner.tenant_id)})
    assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")


async def test_a_role_counts_in_its_own_tenant(team: Team, cluster: Cluster, database: str) -> None:
    """A viewer here who is owner there may write there, and only there; the header selects which."""
    there = Caller(team.viewer.client, team.viewer.user_id, team.viewer.email, team.viewer.token, await home(team))
    assert (await there.call("POST", "/projects", json={"name": "mine"})).status_code == 201
    here = await team.viewer.call("POST", "/projects", json={"name": "not mine"})
    assert (here.status_code, here.json()["code"]) == (403, "forbidden")
    await join(cluster, database, team.viewer, team.owner.tenant_id, "member")
    assert (await team.viewer.call("POST", "/projects", json={"name": "now mine"})).status_code == 201
    idle = {"name": "idle", "permissions": []}
    assert (await team.owner.call("POST", "/tenants/current/roles", json=idle)).status_code == 201
    await join(cluster, database, team.viewer, team.owner.tenant_id, "idle")
    assert (await team.viewer.call("GET", "/projects")).status_code == 403
    assert (await there.call("GET", "/projects")).status_code == 200


async def home(team: Team) -> Any:
    """Return the tenant with which the viewer registered."""
    places = (await team.viewer.call("GET", "/users/me")).json()["memberships"]
    return next(place["tenant_id"] for place in places if place["role"] == "owner")


async def test_a_member_is_one_once(team: Team, work: UnitOfWork) -> None:
    """Adding a member again is a conflict that says so, and changes no role."""
    with pytest.raises(AlreadyMemberError) as caught:
        async with work.begin(tenant_id=team.owner.tenant_id, actor_id=team.owner.user_id) as ctx:
            await MemberService(ctx).add(team.viewer.user_id, BuiltInRole.admin)
    assert (caught.value.status, caught.value.code) == (409, "already_member")
    roles = {member["user_id"]: member["role"] for member in (await list_members(team.owner))["items"]}
    assert roles[str(team.viewer.user_id)] == "viewer"
