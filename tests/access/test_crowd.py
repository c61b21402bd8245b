"""Many callers at once: each is answered by their own rights, whoever else is being answered."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from fastapi import FastAPI
from httpx2 import AsyncClient

from tests.support import Caller, Cluster, Team, found_team

ROLES = ("owner", "admin", "member", "viewer")
TEAMS, ROUNDS = 5, 4

Step = Callable[[Caller, Team, str], Awaitable[tuple[int, int]]]
"""Does one thing; returns the status that came, and the one that should have."""


async def read(caller: Caller, team: Team, role: str) -> tuple[int, int]:
    """Read the members: everybody may, and finds exactly the people of the team."""
    answer = await caller.call("GET", "/tenants/current/members")
    people = {member["user_id"] for member in answer.json()["items"]}
    assert people == {str(team[name].user_id) for name in ROLES}, role
    return answer.status_code, 200


async def create(caller: Caller, _: Team, role: str) -> tuple[int, int]:
    """Create a project: all but viewers may."""
    answer = await caller.call("POST", "/projects", json={"name": str(uuid.uuid4())})
    return answer.status_code, 403 if role == "viewer" else 201


async def change(caller: Caller, team: Team, role: str) -> tuple[int, int]:
    """Change the owner's project: owner and admins may."""
    projects = (await team.owner.call("GET", "/projects", params={"sort": "created_at", "limit": 1})).json()["items"]
    answer = await caller.call("PATCH", f"/projects/{projects[0]['id']}", json={"status": "active"})
    return answer.status_code, 200 if role in {"owner", "admin"} else 403


async def intrude(caller: Caller, team: Team, _: str) -> tuple[int, int]:
    """Select the stranger's tenant: nobody of the team may."""
    answer = await caller.call("GET", "/projects", headers={"X-Tenant-ID": str(team.stranger.tenant_id)})
    return answer.status_code, 404


async def look(caller: Caller, _: Team, role: str) -> tuple[int, int]:
    """Ask who one is: oneself, in one's own role."""
    answer = await caller.call("GET", "/users/me")
    places = {place["tenant_id"]: place["role"] for place in answer.json()["memberships"]}
    assert (answer.json()["id"], places[str(caller.tenant_id)]) == (str(caller.user_id), role)
    return answer.status_code, 200


STEPS: list[Step] = [read, create, change, intrude, look]


async def test_four_hundred_decisions_at_once_are_all_right(
    client: AsyncClient, application: FastAPI, cluster: Cluster, database: str
) -> None:
    """Twenty callers in four roles and five tenants, twenty decisions each, in an order of their own: none strays."""
    teams = [await found_team(client, cluster, database) for _ in range(TEAMS)]
    for team in teams:
        await team.owner.create_project()

    async def behave(number: int, team: Team, role: str) -> list[tuple[str, int, int]]:
        found = []
        for turn in range(ROUNDS * len(STEPS)):
            step = STEPS[(number + turn) % len(STEPS)]
            found.append((step.__name__, *await step(team[role], team, role)))
        return found

    crowd = [behave(number, team, role) for number, (team, role) in enumerate((t, r) for t in teams for r in ROLES)]
    decisions = [decision for one in await asyncio.gather(*crowd) for decision in one]
    assert len(decisions) == 400
    assert [(step, came, due) for step, came, due in decisions if came != due] == []
    pool = application.state.serving.gate.work.sessions.kw["bind"].pool
    assert pool.checkedout() == 0
