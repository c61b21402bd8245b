"""Reading the audit by API: what a tenant's admins see, narrowed and page by page."""

import datetime as dt
import uuid
from typing import Any

import pytest

from tests.support import Caller, Team


async def read(caller: Caller, **query: Any) -> list[dict[str, Any]]:
    """Return the entries of one page."""
    answer = await caller.call("GET", "/audit", params={"limit": 100, **query})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_change_is_found_by_each_of_its_properties(team: Team) -> None:
    """By action, object, actor, request, outcome and time; newest first; with what changed."""
    made = await team.member.create_project(name="one")
    path = f"/projects/{made['id']}"
    before = dt.datetime.now(dt.UTC)
    await team.owner.call("PATCH", path, json={"name": "two"}, headers={"X-Request-ID": "a-rename"})
    both = await read(team.admin, object_id=made["id"])
    assert [entry["action"] for entry in both] == ["project.updated", "project.created"]
    renamed, created = both
    assert (renamed["before"], renamed["after"]) == ({"name": "one"}, {"name": "two"})
    assert (renamed["actor_id"], created["actor_id"]) == (str(team.owner.user_id), str(team.member.user_id))
    narrowed: list[dict[str, Any]] = [
        {"action": "project.updated"},
        {"request_id": "a-rename"},
        {"actor_id": str(team.owner.user_id), "object_type": "project"},
        {"since": before.isoformat(), "outcome": "success"},
    ]
    for query in narrowed:
        assert await read(team.admin, **query) == [renamed], query
    assert created in await read(team.admin, until=before.isoformat())
    assert renamed not in await read(team.admin, until=before.isoformat())
    assert await read(team.admin, outcome="failure") == []


async def test_pages_lead_through_all_of_it(team: Team) -> None:
    """Every entry once, whatever the size of a page; a cursor is good for its own query alone."""
    for _ in range(3):
        await team.owner.create_project()
    everything = await read(team.owner)
    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = (await team.owner.call("GET", "/audit", params=query)).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
        other = await team.owner.call("GET", "/audit", params={**query, "action": "project.created"})
        assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")
    assert seen == everything
    assert len({entry["id"] for entry in seen}) == len(seen) >= 4


async def test_whose_audit_it_is(team: Team) -> None:
    """Owners and admins read their own tenant's; members and viewers do not; another's is not there."""
    made = await team.owner.create_project()
    for role in ("member", "viewer"):
        assert (await team[role].call("GET", "/audit")).status_code == 403
    assert await read(team.stranger, object_id=made["id"]) == []
    assert len(await read(team.owner, object_id=made["id"])) == 1


@pytest.mark.parametrize(
    "query",
    [
        {"since": "yesterday"},
        {"since": "2026-01-01T00:00:00"},
        {"outcome": "maybe"},
        {"object_id": "1"},
        {"colour": "red"},
    ],
)
async def test_what_no_query_means_is_refused(team: Team, query: dict[str, str]) -> None:
    """A time without its zone among the rest."""
    answer = await team.owner.call("GET", "/audit", params=query)
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["query", *query])


async def test_nothing_is_added_by_reading(team: Team) -> None:
    """A look at the audit is no entry in it."""
    assert await read(team.owner) == await read(team.owner)
    assert await read(team.owner, object_id=str(uuid.uuid4())) == []


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_the_ends_of_time_are_times(team: Team, moment: str) -> None:
    """What lies beyond them in UTC is taken for the first or the last moment there is."""
    everything = await read(team.owner)
    found = (await read(team.owner, since=moment), await read(team.owner, until=moment))
    assert found == ((everything, []) if moment.startswith("0001") else ([], everything))
