"""Preferences: each member's own affair, in each tenant for itself."""

import uuid
from collections.abc import Awaitable, Callable

import pytest
from httpx2 import AsyncClient

from tests.office import choose
from tests.support import Caller, Cluster, Team, join

PATH = "/notifications/preferences"
VERIFY = "update users set email_verified_at = now() where id = :user returning 1"
DEFAULT = {"in_app": True, "email": False}


async def shown(caller: Caller) -> dict[str, bool]:
    """Return how somebody is told."""
    answer = await caller.call("GET", PATH)
    assert answer.status_code == 200, answer.text
    found: dict[str, bool] = answer.json()
    return found


async def test_notices_and_no_mails_unless_chosen(team: Team, cluster: Cluster, database: str) -> None:
    """A change counts for its member in this tenant alone; what is left out stays."""
    elsewhere = await join(cluster, database, team.viewer, team.stranger.tenant_id, "viewer")
    await cluster.rows(database, VERIFY, user=team.viewer.user_id)
    assert await shown(team.viewer) == DEFAULT
    assert await choose(team.viewer, email=True) == {"in_app": True, "email": True}
    assert await choose(team.viewer, in_app=False) == {"in_app": False, "email": True}
    assert await choose(team.viewer) == await shown(team.viewer) == {"in_app": False, "email": True}
    assert [await shown(caller) for caller in (team.owner, team.stranger, elsewhere)] == [DEFAULT] * 3


async def test_who_wants_no_notices_gets_none(team: Team, settle: Callable[[], Awaitable[None]]) -> None:
    """Switched off, nothing comes, also for the creator; switched on again, what comes later does."""
    await choose(team.owner, in_app=False)
    await team.owner.create_project()
    await settle()
    await choose(team.owner, in_app=True)
    second = await team.owner.create_project()
    await settle()
    lists = [(await caller.call("GET", "/notifications")).json()["items"] for caller in (team.owner, team.member)]
    assert [len(items) for items in lists] == [1, 2]
    assert lists[0][0]["object_id"] == second["id"]


async def test_mails_are_for_a_verified_address(owner: Caller, cluster: Cluster, database: str) -> None:
    """Nobody has mails sent to an address that is not known to be theirs."""
    answer = await owner.call("PATCH", PATH, json={"email": True, "in_app": False})
    assert (answer.status_code, answer.json()["code"]) == (409, "address_not_verified")
    assert await shown(owner) == DEFAULT
    await cluster.rows(database, VERIFY, user=owner.user_id)
    assert await choose(owner, email=True) == {"in_app": True, "email": True}


@pytest.mark.parametrize("body", [{"email": None}, {"in_app": "perhaps"}, {"sms": True}, [], "yes", None])
async def test_what_is_no_choice_is_refused(owner: Caller, body: object) -> None:
    """Null, words, unknown ways and no object are 422, and change nothing."""
    answer = await owner.call("PATCH", PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert await shown(owner) == DEFAULT


async def test_a_choice_is_not_audited_and_goes_with_the_membership(
    team: Team, cluster: Cluster, database: str
) -> None:
    """No row in the audit; who leaves and comes back is told as by default."""
    request_id = uuid.uuid4().hex
    answer = await team.member.call("PATCH", PATH, json={"in_app": False}, headers={"X-Request-ID": request_id})
    assert answer.status_code == 200
    audited = "select action from audit_entries where request_id = :id"
    assert await cluster.rows(database, audited, id=request_id) == []
    assert (await team.member.call("POST", "/tenants/current/leave")).status_code == 200
    again = await join(cluster, database, team.member, team.owner.tenant_id, "member")
    assert await shown(again) == DEFAULT


async def test_a_service_account_has_none(team: Team, client: AsyncClient) -> None:
    """It is nobody who could be told: it sees what holds by default, and changes nothing."""
    made = await team.owner.call("POST", "/tenants/current/service-accounts", json={"name": f"robot {uuid.uuid4()}"})
    body = {"name": "key", "permissions": ["notifications.read"], "service_account_id": made.json()["id"]}
    key = (await team.owner.call("POST", "/tenants/current/api-keys", json=body)).json()["key"]
    headers = {"Authorization": f"Bearer {key}"}
    assert (await client.get(PATH, headers=headers)).json() == DEFAULT
    answer = await client.patch(PATH, headers=headers, json={"in_app": False})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


async def test_all_notices_are_read_at_once(team: Team, settle: Callable[[], Awaitable[None]]) -> None:
    """One's own, in this tenant; what is unread is listed alone, and reading again reads nothing."""
    projects = [(await team.owner.create_project())["id"] for _ in range(3)]
    await settle()
    newest = (await team.viewer.call("GET", "/notifications")).json()["items"][0]
    await team.viewer.call("POST", f"/notifications/{newest['id']}/read")
    unread = {"unread": "true"}
    left = (await team.viewer.call("GET", "/notifications", params=unread)).json()["items"]
    assert [notice["object_id"] for notice in left] == projects[1::-1]
    answers = [await team.viewer.call("POST", "/notifications/read") for _ in range(2)]
    assert [answer.json()["details"] for answer in answers] == [{"read": 2}, {"read": 0}]
    assert (await team.viewer.call("GET", "/notifications", params=unread)).json()["items"] == []
    assert len((await team.viewer.call("GET", "/notifications")).json()["items"]) == 3
    assert len((await team.owner.call("GET", "/notifications", params=unread)).json()["items"]) == 3
