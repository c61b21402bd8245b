"""Listing projects: order, filter, and a walk through pages that meets each project once."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support import Caller, Cluster, Team

Page = dict[str, Any]
SORTS = ("created_at", "-created_at", "updated_at", "-updated_at", "name", "-name")


async def page(caller: Caller, **query: Any) -> Page:
    """Return one page."""
    answer = await caller.call("GET", "/projects", params=query)
    assert answer.status_code == 200, answer.text
    found: Page = answer.json()
    assert found.keys() == {"items", "next_cursor"}
    return found


async def walk(caller: Caller, **query: Any) -> AsyncIterator[list[str]]:
    """Yield the ids of each page, to the last."""
    cursor: dict[str, str] = {}
    while True:
        found = await page(caller, **query, **cursor)
        yield [item["id"] for item in found["items"]]
        if found["next_cursor"] is None:
            return
        cursor = {"cursor": found["next_cursor"]}


async def fill(cluster: Cluster, database: str, caller: Caller, count: int, *, apart: int) -> list[str]:
    """Put so many projects into the caller's tenant, `apart` milliseconds from one to the next; oldest first."""
    query = (
        "insert into projects (tenant_id, id, name, description, status, created_by, created_at, updated_at, version)"
        " select :tenant, gen_random_uuid(), 'project ' || to_char(n, 'FM000'), '', 'active', :user, moment, moment, 1"
        " from generate_series(1, :count) n, lateral (select timestamptz '2026-01-01' + make_interval(secs =>"
        " n * :apart / 1000.0)) as t (moment) returning id, created_at"
    )
    user = {"tenant": caller.tenant_id, "user": caller.user_id}
    rows = await cluster.rows(database, query, **user, count=count, apart=apart)
    return [str(row.id) for row in sorted(rows, key=lambda row: (row.created_at, row.id))]


async def test_an_empty_tenant_has_an_empty_list(owner: Caller) -> None:
    """There is a list before there is a project."""
    for query in ({}, {"limit": 1}, {"status": "archived"}, {"sort": "name"}):
        assert await page(owner, **query) == {"items": [], "next_cursor": None}


async def test_the_newest_is_first(owner: Caller) -> None:
    """Unless `sort` says otherwise; a row of the list is the project itself."""
    made = [await owner.create_project() for _ in range(3)]
    assert await page(owner) == {"items": made[::-1], "next_cursor": None}


@pytest.mark.parametrize("sort", SORTS)
async def test_every_order(owner: Caller, sort: str) -> None:
    """Each order sorts by its column, either way, also over several pages."""
    made = [await owner.create_project(name=name) for name in ("delta", "alpha", "charlie", "bravo")]
    for index in (2, 0):
        await owner.call("PATCH", f"/projects/{made[index]['id']}", json={"description": "changed"})
    column, descending = sort.removeprefix("-"), sort.startswith("-")
    projects = (await page(owner))["items"]
    assert len({project[column] for project in projects}) == 4
    ids = [project["id"] for project in sorted(projects, key=lambda one: one[column], reverse=descending)]
    assert [project["id"] for project in (await page(owner, sort=sort))["items"]] == ids
    assert [part async for part in walk(owner, sort=sort, limit=3)] == [ids[:3], ids[3:]]


async def test_a_filter_by_status(owner: Caller) -> None:
    """`status` shows the projects that stand so, also over several pages; without it all are shown."""
    made = [await owner.create_project() for _ in range(5)]
    for project in made[1:4]:
        await owner.call("PATCH", f"/projects/{project['id']}", json={"status": "archived"})
    ids = [project["id"] for project in made]
    archived = [part async for part in walk(owner, status="archived", sort="created_at", limit=2)]
    assert archived == [ids[1:3], ids[3:4]]
    assert [project["id"] for project in (await page(owner, status="active"))["items"]] == [ids[4], ids[0]]
    assert len((await page(owner))["items"]) == 5


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("apart", [0, 1])
async def test_a_walk_meets_each_once(owner: Caller, cluster: Cluster, database: str, sort: str, apart: int) -> None:
    """25 projects in pages of 7 come once each and in order, also when all have the same time."""
    await fill(cluster, database, owner, 25, apart=apart)
    parts = [part async for part in walk(owner, sort=sort, limit=7)]
    assert [len(part) for part in parts] == [7, 7, 7, 4]
    found = [project_id for part in parts for project_id in part]
    assert len(set(found)) == 25
    assert found == [item["id"] for item in (await page(owner, sort=sort, limit=100))["items"]]


async def test_those_who_sort_alike_follow_by_id(owner: Caller, cluster: Cluster, database: str) -> None:
    """With equal values the order is that of the ids, and its reverse when it descends."""
    ids = await fill(cluster, database, owner, 9, apart=0)
    assert ids == sorted(ids)
    assert [part async for part in walk(owner, sort="created_at", limit=4)] == [ids[:4], ids[4:8], ids[8:]]
    down = ids[::-1]
    assert [part async for part in walk(owner, sort="-created_at", limit=4)] == [down[:4], down[4:8], down[8:]]


@pytest.mark.parametrize("sort", ["created_at", "-created_at", "name", "-name"])
async def test_a_walk_while_others_work(owner: Caller, cluster: Cluster, database: str, sort: str) -> None:
    """Rows that come and go between two pages make no other row appear twice or be skipped.

    After each page the row under the cursor is deleted, and so is one that was not met yet; a new one comes at
    either end. What was there all the time comes once; what is gone before its page does not come.
    """
    ids = await fill(cluster, database, owner, 25, apart=1)
    order = ids[::-1] if sort.startswith("-") else ids
    found: list[str] = []
    removed: set[str] = set()
    async for part in walk(owner, sort=sort, limit=7):
        assert not removed & set(part)
        found += part
        ahead = [one for one in order if one not in found and one not in removed]
        removed |= {part[-1], *ahead[1:2]}
        deletions = (owner.call("DELETE", f"/projects/{one}") for one in removed)
        await asyncio.gather(*deletions)
        await owner.create_project(name=f"a {len(found)}")
        await owner.create_project(name=f"z {len(found)}")
    assert len(found) == len(set(found))
    unmet = {one for one in removed if one not in found}
    assert len(unmet) >= 3
    assert [one for one in found if one in set(ids)] == [one for one in order if one not in unmet]


async def test_a_full_last_page_is_the_last(owner: Caller, cluster: Cluster, database: str) -> None:
    """No cursor leads to an empty page."""
    await fill(cluster, database, owner, 10, apart=1)
    assert [len(part) async for part in walk(owner, limit=5)] == [5, 5]
    assert [len(part) async for part in walk(owner, limit=10)] == [10]


async def test_how_many_a_page_holds(owner: Caller, cluster: Cluster, database: str) -> None:
    """A page holds 50 unless `limit` says from 1 to 100; a walk may change its step."""
    ids = (await fill(cluster, database, owner, 103, apart=1))[::-1]
    assert [len(part) async for part in walk(owner)] == [50, 50, 3]
    assert [len(part) async for part in walk(owner, limit=100)] == [100, 3]
    first = await page(owner, limit=1)
    assert [item["id"] for item in first["items"]] == ids[:1]
    second = await page(owner, limit=2, cursor=first["next_cursor"])
    assert [item["id"] for item in second["items"]] == ids[1:3]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "-1"},
        {"limit": "1.5"},
        {"limit": "ten"},
        {"limit": ""},
        {"limit": "1000000000"},
        {"limit": str(2**63)},
        {"sort": "id"},
        {"sort": "deleted_at"},
        {"sort": "+name"},
        {"sort": "--name"},
        {"sort": "Name"},
        {"sort": ""},
        {"status": "deleted"},
        {"status": ""},
        {"cursor": "x" * 2001},
        {"tenant_id": "x"},
        {"offset": "1"},
    ],
)
async def test_what_no_list_understands_is_refused(owner: Caller, query: dict[str, str]) -> None:
    """A value out of range, an order or filter that there is not, an unknown parameter: 422, by name."""
    answer = await owner.call("GET", "/projects", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["query", *query]


async def test_a_cursor_belongs_to_its_list(team: Team, cluster: Cluster, database: str) -> None:
    """With another order, another filter, another tenant or another kind of list it is 400, and so is no cursor."""
    for caller in (team.owner, team.stranger):
        await fill(cluster, database, caller, 3, apart=1)
    cursor = (await page(team.owner, limit=1, sort="name"))["next_cursor"]
    assert len((await page(team.viewer, limit=1, sort="name", cursor=cursor))["items"]) == 1
    members = (await team.owner.call("GET", "/tenants/current/members", params={"limit": 1})).json()["next_cursor"]
    for caller, query in (
        (team.owner, {"sort": "-name", "cursor": cursor}),
        (team.owner, {"cursor": cursor}),
        (team.owner, {"sort": "name", "status": "active", "cursor": cursor}),
        (team.stranger, {"sort": "name", "cursor": cursor}),
        (team.owner, {"sort": "created_at", "cursor": members}),
        (team.owner, {"sort": "name", "cursor": cursor[:-4]}),
        (team.owner, {"sort": "name", "cursor": cursor + "AAAA"}),
        (team.owner, {"sort": "name", "cursor": "no cursor"}),
        (team.owner, {"sort": "name", "cursor": ""}),
    ):
        answer = await caller.call("GET", "/projects", params=query)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor"), query
