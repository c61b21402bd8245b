"""Every operation keeps to its document, whoever calls, whatever is sent: Schemathesis with all its checks."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.core.permissions import CATALOGUE
from app.main import create_app
from tests.contract.explorer import Explorer
from tests.figures import Figure
from tests.served import running
from tests.support import Caller, Cluster, Team, found_team, register

pytestmark = pytest.mark.filterwarnings("ignore:Generating overly large repr")
"""Hypothesis says so of a long text that it means to send; a warning would end the run of that operation."""

ENDING = {
    f"{method} /api/v1{path}": why
    for method, path, why in [
        ("POST", "/auth/logout", "ends the caller's session"),
        ("DELETE", "/auth/sessions", "ends the sessions of the others who are the same person"),
        ("DELETE", "/auth/sessions/{session_id}", "ends the caller's session, once its id was seen"),
        ("POST", "/auth/password/change", "ends sessions"),
        ("PATCH", "/tenants/current", "switches modules off"),
        ("DELETE", "/tenants/current", "closes the tenant"),
        ("POST", "/tenants/current/leave", "takes the caller out of the tenant"),
        ("POST", "/tenants/current/transfer", "makes the owner an admin, once a member's id was seen"),
        ("PATCH", "/tenants/current/members/{user_id}", "gives the others other roles"),
        ("DELETE", "/tenants/current/members/{user_id}", "removes the others"),
        ("POST", "/superuser/tenants/{tenant_id}/suspend", "closes the tenant"),
        ("POST", "/superuser/users/{user_id}/disable", "shuts the others out"),
    ]
}
"""What would end a run for those who take part in it: tried with new people for each request."""

MAKERS: list[Callable[[Caller], Awaitable[Any]]] = [Caller.create_project]
"""What a tenant has when it begins, twice of each."""

PARTS = 2
"""Into how many tests the operations are dealt, so that workers share them."""


@dataclass(frozen=True)
class House:
    """A running application, and the headers of everybody who calls it."""

    app: FastAPI
    address: str
    client: AsyncClient
    cluster: Cluster
    database: str
    team: Team
    people: dict[str, dict[str, str]]

    async def promote(self, caller: Caller) -> Caller:
        """Make somebody a superuser."""
        made = "update users set is_superuser = true where id = :user returning 1"
        await self.cluster.rows(self.database, made, user=caller.user_id)
        return caller


@pytest.fixture
async def house(cluster: Cluster) -> AsyncIterator[House]:
    """Serve an installation of its own, with one tenant's people and some from outside."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    app = create_app(url=cluster.url("app_rw", database))
    with running(app) as (_, port):
        address = f"http://127.0.0.1:{port}"
        async with AsyncClient(base_url=f"{address}/api/v1") as client:
            team = await found_team(client, cluster, database)
            found = House(app, address, client, cluster, database, team, {})
            found.people.update(await everybody(found))
            yield found
    await cluster.drop(database)


async def everybody(house: House) -> dict[str, dict[str, str]]:
    """Return the headers of each role; who has no tenant sends the generated one, which is nobody's."""
    owner, superuser = house.team.owner, await house.promote(await register(house.client))
    for make in MAKERS * 2:
        await make(owner)
    made = await owner.call(
        "POST",
        "/tenants/current/api-keys",
        json={"name": "everything", "permissions": sorted(CATALOGUE), "expires_in_days": 1},
    )
    assert made.status_code == 201, made.text
    return {
        **{role: house.team[role].headers for role in ("admin", "member", "viewer")},
        "stranger": {"Authorization": house.team.stranger.headers["Authorization"]},
        "nobody": {},
        "key": {"Authorization": f"Bearer {made.json()['key']}"},
        "superuser": superuser.headers,
    }


def report(figure: Figure, what: str, run: Explorer) -> None:
    """Print how much was tried, and fail for what was found."""
    sent = ", ".join(f"{name} {number}" for name, number in run.requests.most_common())
    statuses = ", ".join(f"{status} {number}" for status, number in sorted(run.answers.items()))
    figure(f"{what}: {run.requests.total()} requests ({sent}); answers {statuses}")
    assert run.faults == [], "\n".join(run.faults[:20])


@pytest.mark.parametrize("part", range(PARTS))
async def test_everybody_sends_what_fits_and_what_does_not(house: House, figure: Figure, part: int) -> None:
    """Generated requests, good and bad, as the owner and one of the others in turn."""
    labels = labels_of(house.app)[part::PARTS]
    run = Explorer(house.address, house.app.openapi(), house.team.owner.headers, house.people, in_turn=True)
    await asyncio.to_thread(run.run, ["examples", "fuzzing"], 15, labels.__contains__)
    assert set(run.requests) == {"the explorer", *house.people}
    report(figure, "generated", run)


@pytest.mark.parametrize("part", range(PARTS))
async def test_every_edge_of_every_value(house: House, figure: Figure, part: int) -> None:
    """Each boundary, each missing and each wrong value, as the owner and one of the others in turn."""
    labels = labels_of(house.app)[part::PARTS]
    run = Explorer(house.address, house.app.openapi(), house.team.owner.headers, house.people, in_turn=True)
    await asyncio.to_thread(run.run, ["coverage"], 15, labels.__contains__)
    report(figure, "edges", run)


async def test_one_request_after_another(house: House, figure: Figure) -> None:
    """What was created is read, changed and deleted, in chains that follow from the document."""
    labels = labels_of(house.app)
    run = Explorer(house.address, house.app.openapi(), house.team.owner.headers, house.people, in_turn=True)
    await asyncio.to_thread(run.run, ["stateful"], 25, labels.__contains__)
    assert run.answers[200] > 20
    report(figure, "stateful", run)


async def test_what_ends_a_session_or_a_tenant(house: House, figure: Figure) -> None:
    """Each request comes from the owner of a new tenant, who is a superuser too: nothing is refused for their want."""
    loop = asyncio.get_running_loop()

    async def newcomer() -> dict[str, str]:
        return (await house.promote(await register(house.client))).headers

    def fresh() -> dict[str, str]:
        return asyncio.run_coroutine_threadsafe(newcomer(), loop).result(30)

    run = Explorer(house.address, house.app.openapi(), {}, newcomer=fresh)
    await asyncio.to_thread(run.run, ["fuzzing"], 15, ENDING.__contains__)
    report(figure, "ending", run)


def labels_of(app: FastAPI) -> list[str]:
    """Return every operation that ends no run."""
    paths = app.openapi()["paths"]
    labels = [f"{method.upper()} {path}" for path, item in paths.items() for method in item]
    return [label for label in labels if label not in ENDING]


async def test_what_is_left_out_of_the_runs_is_there(application: FastAPI) -> None:
    """The list of operations that end a run names no other."""
    paths = application.openapi()["paths"]
    assert {f"{method.upper()} {path}" for path, item in paths.items() for method in item} >= ENDING.keys()
