"""What somebody changes about themselves."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.support import Caller, Cluster, Team

ENTRIES = "select tenant_id, before, after from audit_entries where object_id = :id and action = 'user.updated'"


async def test_a_name_is_changed(team: Team, cluster: Cluster, database: str) -> None:
    """The answer is the account with all its places; the change is audited in the system tenant."""
    before = (await team.member.call("GET", "/users/me")).json()
    answer = await team.member.call("PATCH", "/users/me", json={"full_name": " Ada  Lovelace\n"})
    assert answer.status_code == 200
    assert answer.json() == {**before, "full_name": "Ada  Lovelace"}
    assert (await team.member.call("GET", "/users/me")).json() == answer.json()
    rows = await cluster.rows(database, ENTRIES, id=team.member.user_id)
    names = ({"full_name": before["full_name"]}, {"full_name": "Ada  Lovelace"})
    assert [tuple(row) for row in rows] == [(SYSTEM_TENANT_ID, *names)]
    assert (await team.owner.call("GET", "/users/me")).json()["full_name"] == "Some Body"


@pytest.mark.parametrize("body", [{}, {"full_name": "Some Body"}])
async def test_what_changes_nothing_is_not_audited(
    owner: Caller, cluster: Cluster, database: str, body: dict[str, str]
) -> None:
    """An empty change, or the same name again, is 200 and no event."""
    answer = await owner.call("PATCH", "/users/me", json=body)
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Some Body")
    assert await cluster.rows(database, ENTRIES, id=owner.user_id) == []


@pytest.mark.parametrize(
    "body",
    [
        {"full_name": ""},
        {"full_name": "x" * 201},
        {"full_name": "a\0b"},
        {"full_name": None},
        {"full_name": 7},
        {"email": "new@example.com"},
        {"email_verified": True},
        {"email_verified_at": "2026-01-01T00:00:00Z"},
        {"is_superuser": True},
        {"disabled_at": None},
    ],
)
async def test_nothing_else_can_be_changed(owner: Caller, body: dict[str, Any]) -> None:
    """A bad name, and every field that is not the person's to write, is 422 and named."""
    before = (await owner.call("GET", "/users/me")).json()
    answer = await owner.call("PATCH", "/users/me", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"][:2] == ["body", *body]
    assert (await owner.call("GET", "/users/me")).json() == before


async def test_nobody_changes_nobody(client: AsyncClient) -> None:
    """Without a sign-in it is 401."""
    assert (await client.patch("/users/me", json={"full_name": "Ada"})).status_code == 401
