"""Notices: each member is told of a new project, and sees no notice but their own."""

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support import Caller, Cluster, Team, join

Notice = dict[str, Any]
Notices = Callable[..., Awaitable[list[Notice]]]


@pytest.fixture
def notices(settle: Callable[[], Awaitable[None]]) -> Notices:
    """Return what lists the notices that a caller has, once everybody was told."""

    async def read(caller: Caller, **query: Any) -> list[Notice]:
        await settle()
        answer = await caller.call("GET", "/notifications", params=query)
        assert answer.status_code == 200, answer.text
        found: list[Notice] = answer.json()["items"]
        return found

    return read


async def test_every_member_is_told_of_a_new_project(team: Team, notices: Notices) -> None:
    """Each member has one notice, the creator included; a stranger has none."""
    project = await team.member.create_project(name="Alpha 🚀")
    found = [await notices(team[role]) for role in ("owner", "admin", "member", "viewer")]
    assert [len(items) for items in found] == [1, 1, 1, 1]
    assert len({items[0]["id"] for items in found}) == 4
    for (notice,) in found:
        assert notice.keys() == {"id", "kind", "object_id", "title", "created_at", "read_at"}
        assert (notice["kind"], notice["object_id"]) == ("project.created", project["id"])
        assert (notice["title"], notice["read_at"]) == ("Alpha 🚀", None)
        told, made = (dt.datetime.fromisoformat(one["created_at"]) for one in (notice, project))
        assert abs(told - made) < dt.timedelta(seconds=1), "the moment of the event, not of its delivery"
    assert await notices(team.stranger) == []


async def test_the_newest_is_first_and_pages_hold_each_once(owner: Caller, notices: Notices) -> None:
    """Three notices in pages of two: newest first, none twice, no cursor on the last page."""
    projects = [(await owner.create_project())["id"] for _ in range(3)]
    assert len(await notices(owner)) == 3
    first = (await owner.call("GET", "/notifications", params={"limit": 2})).json()
    second = (await owner.call("GET", "/notifications", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert [notice["object_id"] for notice in first["items"] + second["items"]] == projects[::-1]
    assert (len(first["items"]), second["next_cursor"]) == (2, None)


async def test_only_creating_is_news(owner: Caller, notices: Notices) -> None:
    """Changing, deleting and restoring tell nobody."""
    path = f"/projects/{(await owner.create_project())['id']}"
    await owner.call("PATCH", path, json={"description": "new"})
    await owner.call("DELETE", path)
    assert (await owner.call("POST", f"{path}/restore")).status_code == 200
    assert len(await notices(owner)) == 1


async def test_a_project_that_was_not_created_is_no_news(owner: Caller, notices: Notices) -> None:
    """The notices go with the change that fails."""
    project = await owner.create_project()
    assert (await owner.call("POST", "/projects", json={"name": project["name"]})).status_code == 409
    assert len(await notices(owner)) == 1


async def test_who_joins_later_is_told_of_what_comes(
    team: Team, cluster: Cluster, database: str, notices: Notices
) -> None:
    """A new member has no notice of the past; who has left is told nothing, and what they had is out of reach."""
    await team.owner.create_project()
    assert len(await notices(team.member)) == 1
    newcomer = await join(cluster, database, team.stranger, team.owner.tenant_id, "viewer")
    leave = "delete from memberships where tenant_id = :tenant and user_id = :user returning 1"
    await cluster.rows(database, leave, tenant=team.owner.tenant_id, user=team.member.user_id)
    second = await team.owner.create_project()
    assert [notice["object_id"] for notice in await notices(newcomer)] == [second["id"]]
    assert (await team.member.call("GET", "/notifications")).status_code == 404
    told = "select count(*) from notifications where user_id = :user"
    ((count,),) = await cluster.rows(database, told, user=team.member.user_id)
    assert count == 1


async def test_a_notice_is_marked_as_read_once(team: Team, notices: Notices) -> None:
    """The first time sets the moment, the second changes nothing; it is the reader's own affair."""
    await team.owner.create_project()
    (notice,) = await notices(team.viewer)
    answer = await team.viewer.call("POST", f"/notifications/{notice['id']}/read")
    assert answer.status_code == 200
    read = answer.json()
    assert read == {**notice, "read_at": read["read_at"]}
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(read["read_at"])
    assert abs(age) < dt.timedelta(minutes=1)
    again = await team.viewer.call("POST", f"/notifications/{notice['id']}/read")
    assert (again.status_code, again.json()) == (200, read)
    assert await notices(team.viewer) == [read]
    assert (await notices(team.owner))[0]["read_at"] is None


async def test_reading_is_not_audited(owner: Caller, cluster: Cluster, database: str, notices: Notices) -> None:
    """That somebody read a notice leaves no row in the audit."""
    await owner.create_project()
    (notice,) = await notices(owner)
    request_id = uuid.uuid4().hex
    header = {"X-Request-ID": request_id}
    answer = await owner.call("POST", f"/notifications/{notice['id']}/read", headers=header)
    assert answer.status_code == 200
    query = "select action from audit_entries where request_id = :id"
    assert await cluster.rows(database, query, id=request_id) == []


async def test_somebody_elses_notice_is_not_found(
    team: Team, cluster: Cluster, database: str, notices: Notices
) -> None:
    """A colleague's, a stranger's, one's own of another tenant and one that is not there are all the same 404."""
    await team.owner.create_project()
    await team.stranger.create_project()
    (own,), (foreign,) = await notices(team.owner), await notices(team.stranger)
    elsewhere = await join(cluster, database, team.stranger, team.owner.tenant_id, "owner")
    problems = []
    for caller, notice_id in (
        (team.admin, own["id"]),
        (team.owner, foreign["id"]),
        (elsewhere, foreign["id"]),
        (team.owner, str(uuid.uuid4())),
    ):
        answer = await caller.call("POST", f"/notifications/{notice_id}/read")
        assert (answer.status_code, answer.json()["code"]) == (404, "notification_not_found")
        problems.append({**answer.json(), "instance": None, "request_id": None})
    assert problems == [problems[0]] * 4
    assert [(await notices(caller))[0]["read_at"] for caller in (team.owner, team.stranger)] == [None, None]


@pytest.mark.parametrize("notice_id", ["seven", "{id}x", "00000000-0000-0000-0000"])
async def test_what_names_no_notice_is_refused(owner: Caller, notice_id: str) -> None:
    """A path without an identifier is 422."""
    answer = await owner.call("POST", f"/notifications/{notice_id.format(id=uuid.uuid4())}/read")
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["path", "notification_id"]


async def test_a_tenant_may_switch_notices_off(owner: Caller, cluster: Cluster, database: str) -> None:
    """With the module off its operations are 403, and projects go on."""
    query = "update tenants set disabled_modules = '{notifications}' where id = :tenant returning 1"
    await cluster.rows(database, query, tenant=owner.tenant_id)
    answer = await owner.call("GET", "/notifications")
    assert (answer.status_code, answer.json()["code"]) == (403, "module_disabled")
    await owner.create_project()
