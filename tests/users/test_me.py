"""The caller's own account."""

import pytest
from httpx2 import AsyncClient

from tests.support import Caller, Cluster, Team, join


async def test_somebody_sees_themselves_with_every_tenant(
    client: AsyncClient, team: Team, cluster: Cluster, database: str
) -> None:
    """All memberships are shown, oldest first, each with its own role; those of others are not."""
    await join(cluster, database, team.stranger, team.owner.tenant_id, "viewer")
    made = await team.stranger.call("POST", "/tenants", json={"name": "A third one"})
    answer = await client.get("/users/me", headers={"Authorization": f"Bearer {team.stranger.token}"})
    assert answer.status_code == 200
    me = answer.json()
    assert me.keys() == {"id", "email", "full_name", "email_verified", "is_superuser", "memberships"}
    assert (me["id"], me["email"]) == (str(team.stranger.user_id), team.stranger.email)
    assert me["is_superuser"] is False
    assert [(place["tenant_id"], place["role"]) for place in me["memberships"]] == [
        (str(team.stranger.tenant_id), "owner"),
        (str(team.owner.tenant_id), "viewer"),
        (made.json()["id"], "owner"),
    ]
    assert me["memberships"][2]["tenant_name"] == "A third one"
    owner = (await team.owner.call("GET", "/users/me")).json()
    assert [place["tenant_id"] for place in owner["memberships"]] == [str(team.owner.tenant_id)]


async def test_the_selected_tenant_does_not_matter(team: Team) -> None:
    """The account is the same whichever tenant a header names, one's own, a foreign one or none at all."""
    plain = (await team.member.call("GET", "/users/me")).json()
    assert len(plain["memberships"]) == 2
    for named in (str(team.stranger.tenant_id), "no tenant", ""):
        answer = await team.member.call("GET", "/users/me", headers={"X-Tenant-ID": named})
        assert answer.status_code == 200
        assert answer.json() == plain


async def test_a_membership_that_ends_is_gone_at_once(team: Team, cluster: Cluster, database: str) -> None:
    """Who is no member any more does not see the tenant from the next request on, nor a role that changed."""
    await join(cluster, database, team.member, team.member.tenant_id, "admin")
    roles = [place["role"] for place in (await team.member.call("GET", "/users/me")).json()["memberships"]]
    assert roles == ["owner", "admin"]
    query = "delete from memberships where tenant_id = :tenant and user_id = :user returning 1"
    await cluster.rows(database, query, tenant=team.member.tenant_id, user=team.member.user_id)
    places = (await team.member.call("GET", "/users/me")).json()["memberships"]
    assert str(team.member.tenant_id) not in {place["tenant_id"] for place in places}


async def test_somebody_without_a_tenant_sees_an_empty_list(team: Team, cluster: Cluster, database: str) -> None:
    """An account without any membership is an account."""
    query = "delete from memberships where user_id = :user returning 1"
    await cluster.rows(database, query, user=team.stranger.user_id)
    answer = await team.stranger.call("GET", "/users/me")
    assert answer.status_code == 200
    assert answer.json()["memberships"] == []


async def test_a_superuser_is_shown_as_one(team: Team, cluster: Cluster, database: str) -> None:
    """The flag is read in the request's own transaction."""
    query = "update users set is_superuser = true where id = :user returning 1"
    await cluster.rows(database, query, user=team.viewer.user_id)
    assert (await team.viewer.call("GET", "/users/me")).json()["is_superuser"] is True


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Bearer ")],
        [("Authorization", "Bearer not-a-token")],
        [("Authorization", "Basic {token}")],
        [("Authorization", "{token}")],
        [("Authorization", "Bearer {token} {token}")],
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")],
        [("Cookie", "access_token={token}")],
    ],
)
async def test_nobody_is_nobody(client: AsyncClient, owner: Caller, headers: list[tuple[str, str]]) -> None:
    """Without exactly one good access token in the header the answer is 401 with a challenge."""
    sent = [(name, value.format(token=owner.token)) for name, value in headers]
    answer = await client.get("/users/me", headers=sent)
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert owner.token not in answer.text
