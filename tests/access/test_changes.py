"""A change of role or membership counts from the very next request on, in every process."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from httpx2 import AsyncClient

from app.main import create_app
from tests.support import Caller, Cluster, Team, join, serve


@pytest.fixture(scope="session")
async def second(cluster: Cluster, database: str) -> AsyncIterator[AsyncClient]:
    """Serve another instance of the application on the same database."""
    async with serve(create_app(url=cluster.url("app_rw", database))) as client:
        yield client


async def statuses(caller: Caller, second: AsyncClient, project_id: str) -> list[tuple[int, int, int]]:
    """Return what reading, creating and changing another's project answer, on the first instance and the second."""
    found = []
    for one in (caller, replace(caller, client=second)):
        read = await one.call("GET", "/projects")
        created = await one.call("POST", "/projects", json={"name": str(uuid.uuid4())})
        changed = await one.call("PATCH", f"/projects/{project_id}", json={"description": "changed"})
        found.append((read.status_code, created.status_code, changed.status_code))
    return found


EXPECTED = {
    "owner": (200, 201, 200),
    "admin": (200, 201, 200),
    "member": (200, 201, 403),
    "viewer": (200, 403, 403),
}


async def test_a_new_role_counts_from_the_next_request_on(
    team: Team, second: AsyncClient, cluster: Cluster, database: str
) -> None:
    """Up and down: both instances decide by what stands in the database."""
    project = await team.owner.create_project()
    for role in [*EXPECTED, *reversed(EXPECTED)]:
        caller = await join(cluster, database, team.member, team.owner.tenant_id, role)
        assert await statuses(caller, second, project["id"]) == [EXPECTED[role]] * 2, role


async def test_a_lost_place_counts_from_the_next_request_on(
    team: Team, second: AsyncClient, cluster: Cluster, database: str
) -> None:
    """Who is no member any more is a stranger to both instances, and a member again once put back."""
    project = await team.owner.create_project()
    assert await statuses(team.admin, second, project["id"]) == [(200, 201, 200)] * 2
    await cluster.rows(
        database,
        "delete from memberships where tenant_id = :tenant and user_id = :user returning 1",
        tenant=team.admin.tenant_id,
        user=team.admin.user_id,
    )
    assert await statuses(team.admin, second, project["id"]) == [(404, 404, 404)] * 2
    again = await join(cluster, database, team.admin, team.admin.tenant_id, "viewer")
    assert await statuses(again, second, project["id"]) == [(200, 403, 403)] * 2


@pytest.mark.parametrize(
    "statement",
    [
        "update users set disabled_at = now() where id = :user returning 1",
        "update auth_sessions set ended_at = now() where user_id = :user returning 1",
        "update auth_sessions set expires_at = now() where user_id = :user returning 1",
    ],
    ids=["disabled", "ended", "expired"],
)
async def test_a_lost_sign_in_counts_from_the_next_request_on(
    statement: str, team: Team, second: AsyncClient, cluster: Cluster, database: str
) -> None:
    """A token that is still young opens nothing once its session has ended or its person is disabled."""
    project = await team.owner.create_project()
    assert await statuses(team.admin, second, project["id"]) == [(200, 201, 200)] * 2
    await cluster.rows(database, statement, user=team.admin.user_id)
    assert await statuses(team.admin, second, project["id"]) == [(401, 401, 401)] * 2
