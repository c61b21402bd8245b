"""Signing out: nothing of the session is accepted any more."""

import asyncio

import jwt
from httpx2 import AsyncClient

from tests.support import Caller, Cluster, sign_in


async def test_signing_out_ends_the_session_and_no_other(client: AsyncClient, owner: Caller) -> None:
    """From the next request on access token and refresh chain are refused; another device stays signed in."""
    here, there = await sign_in(client, owner.email), await sign_in(client, owner.email)
    following = (await client.post("/auth/refresh", json={"refresh_token": here["refresh_token"]})).json()
    bearer = {"Authorization": f"Bearer {here['access_token']}"}
    answer = await client.post("/auth/logout", headers=bearer)
    assert answer.status_code == 200
    assert answer.json() == {"status": True, "msg": "Signed out.", "details": {}}
    for tokens in (here, following):
        me = await client.get("/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
        assert (me.status_code, me.json()["code"]) == (401, "unauthenticated")
        refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
        assert (refreshed.status_code, refreshed.json()["code"]) == (401, "refresh_refused")
    me = await client.get("/users/me", headers={"Authorization": f"Bearer {there['access_token']}"})
    assert me.status_code == 200
    refreshed = await client.post("/auth/refresh", json={"refresh_token": there["refresh_token"]})
    assert refreshed.status_code == 200


async def test_signing_out_twice_changes_nothing(
    client: AsyncClient, owner: Caller, cluster: Cluster, database: str
) -> None:
    """The second time nobody is signed in: 401, the time of the end stays, and the audit has one row of it."""
    bearer = {"Authorization": f"Bearer {owner.token}"}
    session = jwt.decode(owner.token, options={"verify_signature": False})["sid"]
    ended = "select ended_at from auth_sessions where id = :id"
    assert (await client.post("/auth/logout", headers=bearer)).status_code == 200
    first = await cluster.rows(database, ended, id=session)
    assert first[0][0] is not None
    again = await client.post("/auth/logout", headers=bearer)
    assert (again.status_code, again.json()["code"]) == (401, "unauthenticated")
    assert await cluster.rows(database, ended, id=session) == first
    rows = await cluster.rows(database, "select action from audit_entries where object_id = :id", id=session)
    assert sorted(row.action for row in rows) == ["session.ended", "session.started"]


async def test_signing_out_many_times_at_once(client: AsyncClient, owner: Caller) -> None:
    """Of several at the same moment each is told that it is done, or that nobody is signed in."""
    bearer = {"Authorization": f"Bearer {owner.token}"}
    answers = await asyncio.gather(*(client.post("/auth/logout", headers=bearer) for _ in range(5)))
    found = {answer.status_code for answer in answers}
    assert 200 in found
    assert found <= {200, 401}
    assert (await client.get("/users/me", headers=bearer)).status_code == 401


async def test_signing_out_asks_for_the_access_token(client: AsyncClient, owner: Caller) -> None:
    """Without it, or with the refresh token in its place, nobody is signed out."""
    tokens = await sign_in(client, owner.email)
    assert (await client.post("/auth/logout")).status_code == 401
    wrong = {"Authorization": f"Bearer {tokens['refresh_token']}"}
    assert (await client.post("/auth/logout", headers=wrong)).status_code == 401
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/users/me", headers=bearer)).status_code == 200
