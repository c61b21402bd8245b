"""Tenants: creating them, and listing one's own."""

import uuid
from typing import Any

import pytest
from httpx2 import AsyncClient

from tests.support import Caller, Cluster, Team, join


def bearer(caller: Caller) -> dict[str, str]:
    """Return the headers of somebody who has selected no tenant."""
    return {"Authorization": f"Bearer {caller.token}"}


async def create(client: AsyncClient, caller: Caller, name: str) -> dict[str, Any]:
    """Create a tenant, and return it."""
    answer = await client.post("/tenants", json={"name": name}, headers=bearer(caller))
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def list_tenants(client: AsyncClient, caller: Caller, **query: Any) -> dict[str, Any]:
    """Return one page of somebody's tenants."""
    answer = await client.get("/tenants", params=query, headers=bearer(caller))
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_who_creates_a_tenant_owns_it(client: AsyncClient, team: Team) -> None:
    """The creator is its one member and its owner, and can work in it at once."""
    made = await create(client, team.viewer, "  Café 🏗 عربي ")
    assert made.keys() == {"id", "name", "status", "disabled_modules", "version", "created_at", "updated_at"}
    assert made["name"] == "Café 🏗 عربي"
    assert made["created_at"] == made["updated_at"]
    inside = {"X-Tenant-ID": made["id"]}
    members = (await team.viewer.call("GET", "/tenants/current/members", headers=inside)).json()["items"]
    assert [(member["user_id"], member["role"]) for member in members] == [(str(team.viewer.user_id), "owner")]
    project = await team.viewer.call("POST", "/projects", headers=inside, json={"name": "first"})
    assert project.status_code == 201
    assert (await team.owner.call("GET", "/projects", headers=inside)).status_code == 404


async def test_tenants_may_share_a_name(client: AsyncClient, team: Team) -> None:
    """A tenant's name is for people; its id tells it from others."""
    one, two = await create(client, team.owner, "Twin"), await create(client, team.stranger, "Twin")
    assert one["id"] != two["id"]


async def test_a_list_shows_ones_own_tenants_oldest_first(
    client: AsyncClient, team: Team, cluster: Cluster, database: str
) -> None:
    """Tenants that one owns and those one was taken into are there, whatever the role; no others."""
    made = await create(client, team.stranger, "second")
    await join(cluster, database, team.stranger, team.owner.tenant_id, "viewer")
    page = await list_tenants(client, team.stranger)
    mine = {str(team.stranger.tenant_id), made["id"], str(team.owner.tenant_id)}
    assert {tenant["id"] for tenant in page["items"]} == mine
    assert page["items"] == sorted(page["items"], key=lambda tenant: (tenant["created_at"], tenant["id"]))
    assert page["next_cursor"] is None
    assert [tenant["id"] for tenant in (await list_tenants(client, team.owner))["items"]] == [str(team.owner.tenant_id)]


async def test_pages_of_tenants(client: AsyncClient, owner: Caller) -> None:
    """Walking through pages of two meets each tenant once; the last page has no cursor."""
    for number in range(4):
        await create(client, owner, f"tenant {number}")
    found: list[str] = []
    query: dict[str, Any] = {"limit": 2}
    while True:
        page = await list_tenants(client, owner, **query)
        found += [tenant["id"] for tenant in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 2
        query["cursor"] = page["next_cursor"]
    assert len(found) == len(set(found)) == 5
    assert found == [tenant["id"] for tenant in (await list_tenants(client, owner))["items"]]


async def test_a_cursor_is_its_persons_own(client: AsyncClient, team: Team) -> None:
    """Somebody else's cursor is 400."""
    await create(client, team.owner, "second")
    cursor = (await list_tenants(client, team.owner, limit=1))["next_cursor"]
    answer = await client.get("/tenants", params={"cursor": cursor}, headers=bearer(team.stranger))
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": None},
        {"name": ""},
        {"name": " \n"},
        {"name": "x" * 201},
        {"name": "a\0b"},
        {"name": 5},
        {"name": "a", "id": str(uuid.UUID(int=7))},
        {"name": "a", "disabled_modules": ["projects"]},
    ],
)
async def test_bad_input_makes_no_tenant(client: AsyncClient, owner: Caller, body: dict[str, Any]) -> None:
    """A name of another form, or a field that is not the client's to set, is 422 and makes nothing."""
    answer = await client.post("/tenants", json=body, headers=bearer(owner))
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert len((await list_tenants(client, owner))["items"]) == 1


async def test_nobody_has_no_tenants(client: AsyncClient) -> None:
    """Without a sign-in both are 401."""
    assert (await client.get("/tenants")).status_code == 401
    assert (await client.post("/tenants", json={"name": "a"})).status_code == 401
