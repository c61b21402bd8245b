"""How people of two tenants could meet; each scenario yields, in words, what comes across."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from httpx2 import Response

from tests.isolation.intruder import essence
from tests.isolation.lanes import Lane
from tests.support import Caller, register

JOIN = "insert into memberships (tenant_id, id, user_id, role) values (:tenant, gen_random_uuid(), :user, :role)"


@dataclass(frozen=True)
class Neighbours:
    """Two tenants, A and B: their owners, and one person who is an admin of A and a viewer of B."""

    lane: Lane
    owner_a: Caller
    owner_b: Caller
    in_a: Caller
    in_b: Caller
    home: uuid.UUID
    """The tenant that this person owns."""

    @property
    def both_ways(self) -> list[tuple[Caller, Caller]]:
        """Return each owner with the other one."""
        return [(self.owner_a, self.owner_b), (self.owner_b, self.owner_a)]


async def settle(lane: Lane) -> Neighbours:
    """Make two tenants, and one person who is a member of both."""
    owner_a, owner_b, person = [await register(lane.client, name) for name in ("Anna", "Bert", "Petra")]
    in_a, in_b = [
        Caller(person.client, person.user_id, person.email, person.token, owner.tenant_id)
        for owner in (owner_a, owner_b)
    ]
    for place, role in ((in_a, "admin"), (in_b, "viewer")):
        await lane.run(JOIN, tenant=place.tenant_id, user=place.user_id, role=role)
    return Neighbours(lane, owner_a, owner_b, in_a, in_b, person.tenant_id)


async def objects(two: Neighbours) -> AsyncIterator[str]:
    """Name the other tenant's projects, a living and a deleted one: each is as missing as one that never was."""
    for me, other in two.both_ways:
        living, deleted = [(await other.create_project())["id"] for _ in range(2)]
        await other.call("DELETE", f"/projects/{deleted}")
        before = await two.lane.rows(other.tenant_id)
        never = await attempts(me, str(uuid.uuid4()))
        for project_id in (living, deleted):
            for name, answer in (await attempts(me, project_id)).items():
                if answer.status_code != 404 or essence(answer) != essence(never[name]):
                    yield f"{name} answered {answer.status_code}: {answer.text}"
        if before != await two.lane.rows(other.tenant_id):
            yield "rows of the other tenant changed"


async def attempts(caller: Caller, project_id: str) -> dict[str, Response]:
    """Return the answers to everything that can be done with one project."""
    path = f"/projects/{project_id}"
    return {
        "read": await caller.call("GET", path),
        "patch": await caller.call("PATCH", path, json={"name": "taken over"}),
        "restore": await caller.call("POST", f"{path}/restore"),
        "delete": await caller.call("DELETE", path),
    }


async def headers(two: Neighbours) -> AsyncIterator[str]:
    """Select the other tenant, with its ids and with one's own: to a stranger there is no such tenant."""
    for me, other in two.both_ways:
        mine, theirs = (await me.create_project())["id"], (await other.create_project())["id"]
        before = await two.lane.rows(other.tenant_id)
        swapped = Caller(me.client, me.user_id, me.email, me.token, other.tenant_id)
        answers = [
            *(await attempts(swapped, mine)).values(),
            *(await attempts(swapped, theirs)).values(),
            await swapped.call("POST", "/projects", json={"name": "planted"}),
            *[await swapped.call("GET", path) for path in ("/projects", "/tenants/current/members", "/notifications")],
        ]
        for answer in answers:
            if (answer.status_code, answer.json().get("code")) != (404, "tenant_not_found"):
                yield f"answered {answer.status_code}: {answer.text}"
        if before != await two.lane.rows(other.tenant_id):
            yield "rows of the other tenant changed"


async def lists(two: Neighbours) -> AsyncIterator[str]:
    """List projects and members: the tenant's own, also of a person who has a place in several."""
    people = {two.owner_a: {(two.owner_a.user_id, "owner"), (two.in_a.user_id, "admin")}}
    people[two.owner_b] = {(two.owner_b.user_id, "owner"), (two.in_b.user_id, "viewer")}
    projects = {owner: {(await owner.create_project())["id"] for _ in range(2)} for owner in people}
    for owner, viewer in ((two.owner_a, two.in_a), (two.owner_b, two.in_b)):
        for caller in (owner, viewer):
            shown = await items(caller, "/projects")
            if {project["id"] for project in shown} != projects[owner] or len(shown) != 2:
                yield f"projects: {shown}"
            members = await items(caller, "/tenants/current/members")
            seen = [(uuid.UUID(member["user_id"]), member["role"]) for member in members]
            if set(seen) != people[owner] or len(seen) != 2:
                yield f"members: {seen}"


async def notices(two: Neighbours) -> AsyncIterator[str]:
    """Read notices as a member of both: each tenant shows, and lets mark as read, those of its own."""
    projects = {two.in_a: await two.owner_a.create_project(), two.in_b: await two.owner_b.create_project()}
    await two.lane.settle()
    shown = {caller: await items(caller, "/notifications") for caller in projects}
    for caller, project in projects.items():
        told_of = [notice["object_id"] for notice in shown[caller]]
        if told_of != [project["id"]]:
            yield f"told of {told_of}"
    theirs = shown[two.in_b][0]
    answer = await two.in_a.call("POST", f"/notifications/{theirs['id']}/read")
    if answer.status_code != 404:
        yield f"marked as read in the wrong tenant: {answer.status_code}"
    rows = await two.lane.rows(two.owner_b.tenant_id)
    if any(row["read_at"] for row in rows["notifications"]):
        yield "a notice of the other tenant changed"
    answer = await two.in_b.call("POST", f"/notifications/{theirs['id']}/read")
    if answer.status_code != 200:
        yield f"not marked as read in the right tenant: {answer.status_code}"


async def kept_answers(two: Neighbours) -> AsyncIterator[str]:
    """Use each other's keys, and let outdated answers be cleared away: only one's own are found, or go."""
    age = "update idempotency_keys set created_at = now() - interval '9 days'"
    for me, other in two.both_ways:
        key = {"Idempotency-Key": str(uuid.uuid4())}
        for caller in (me, other):
            answer = await caller.call("POST", "/projects", json={"name": f"{uuid.uuid4()}"}, headers=key)
            if answer.status_code != 201 or "idempotency-replayed" in answer.headers:
                yield f"answered {answer.status_code}: {answer.text}"
        await two.lane.run(f"{age} where tenant_id in (:me, :other)", me=me.tenant_id, other=other.tenant_id)
        before = await two.lane.rows(other.tenant_id)
        await me.call("POST", "/projects", json={"name": f"{uuid.uuid4()}"}, headers=key)
        if before != await two.lane.rows(other.tenant_id):
            yield "answers kept for the other tenant are gone"


async def places(two: Neighbours) -> AsyncIterator[str]:
    """List one's tenants: all of one's own with one's role there, and nobody else's."""
    a, b = two.owner_a.tenant_id, two.owner_b.tenant_id
    for caller, expected in (
        (two.owner_a, {a: "owner"}),
        (two.owner_b, {b: "owner"}),
        (two.in_a, {a: "admin", b: "viewer", two.home: "owner"}),
    ):
        tenants = [uuid.UUID(tenant["id"]) for tenant in await items(caller, "/tenants")]
        if sorted(tenants) != sorted(expected):
            yield f"tenants of {caller.email}: {tenants}"
        me = (await caller.call("GET", "/users/me")).json()
        roles = [(uuid.UUID(place["tenant_id"]), place["role"]) for place in me["memberships"]]
        if sorted(roles) != sorted(expected.items()) or uuid.UUID(me["id"]) != caller.user_id:
            yield f"memberships of {caller.email}: {roles}"


async def rights(two: Neighbours) -> AsyncIterator[str]:
    """Act in both tenants with one sign-in: an admin there, a viewer here, whatever was asked before."""
    projects = {owner: await owner.create_project() for owner in (two.owner_a, two.owner_b)}
    for _ in range(2):
        for caller, owner, expected in (
            (two.in_a, two.owner_a, [200, 200, 201]),
            (two.in_b, two.owner_b, [200, 403, 403]),
        ):
            path = f"/projects/{projects[owner]['id']}"
            answers = [
                await caller.call("GET", path),
                await caller.call("PATCH", path, json={"description": "by the other hand"}),
                await caller.call("POST", "/projects", json={"name": f"by the other hand {uuid.uuid4()}"}),
            ]
            statuses = [answer.status_code for answer in answers]
            if statuses != expected:
                yield f"answered {statuses}"
    rows = (await two.lane.rows(two.owner_b.tenant_id))["projects"]
    if [(row["id"], row["description"]) for row in rows] != [(projects[two.owner_b]["id"], "")]:
        yield f"a viewer changed {rows}"


async def names(two: Neighbours) -> AsyncIterator[str]:
    """Take a name that is taken in the other tenant, and go on with its cursor: the one is free, the other useless."""
    await two.owner_a.create_project()
    taken = [(await two.owner_b.create_project())["name"] for _ in range(2)]
    answer = await two.owner_a.call("POST", "/projects", json={"name": taken[0]})
    if answer.status_code != 201:
        yield f"a name of the other tenant: {answer.status_code}"
    cursor = (await two.owner_b.call("GET", "/projects", params={"limit": 1})).json()["next_cursor"]
    answer = await two.owner_a.call("GET", "/projects", params={"limit": 1, "cursor": cursor})
    if (answer.status_code, answer.json().get("code")) != (400, "invalid_cursor"):
        yield f"a cursor of the other tenant: {answer.status_code}"


async def items(caller: Caller, path: str) -> list[dict[str, Any]]:
    """Return the first page of a list."""
    answer = await caller.call("GET", path, params={"limit": 100})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found
