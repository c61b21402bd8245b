"""The devices on which somebody is signed in: seen, and ended one by one or all at once."""

import asyncio
import datetime as dt
import uuid
from typing import Any

import jwt
import pytest
from httpx2 import AsyncClient

from app.commands.purge import purge
from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.support import PASSWORD, Caller, Cluster, Team, sign_in

ACTIONS = (
    "select action, object_id, after from audit_entries where tenant_id = :tenant and actor_id = :actor order by id"
)
LONG_AGO = """
    update auth_sessions set last_used_at = now() - interval '3 days', created_at = now() - interval '3 days'
    where id = :id returning 1
"""


def bearer(token: str) -> dict[str, str]:
    """Return the header of an access token."""
    return {"Authorization": f"Bearer {token}"}


def session_of(token: str) -> str:
    """Return the session that an access token names."""
    sid: str = jwt.decode(token, options={"verify_signature": False})["sid"]
    return sid


async def listed(client: AsyncClient, token: str) -> list[dict[str, Any]]:
    """Return the first page of somebody's sessions."""
    answer = await client.get("/auth/sessions", headers=bearer(token))
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def is_signed_in(client: AsyncClient, token: str) -> bool:
    """Tell whether an access token is accepted."""
    return (await client.get("/users/me", headers=bearer(token))).status_code == 200


async def test_a_session_says_where_it_is_from(client: AsyncClient, owner: Caller) -> None:
    """Each sign-in is listed, newest first, with what its client said of itself; the one that asks is marked."""
    body = {"email": owner.email, "password": PASSWORD}
    answer = await client.post("/auth/login", json=body, headers={"User-Agent": "Kettle/1.0"})
    token = answer.json()["access_token"]
    here, first = await listed(client, token)
    assert here.keys() == {
        *("id", "created_at", "last_used_at", "expires_at", "user_agent", "address", "current"),
    }
    assert (here["id"], here["current"], here["user_agent"]) == (session_of(token), True, "Kettle/1.0")
    assert here["address"] == "127.0.0.1"
    assert here["last_used_at"] == here["created_at"]
    life = dt.datetime.fromisoformat(here["expires_at"]) - dt.datetime.fromisoformat(here["created_at"])
    assert abs(life.total_seconds() - settings.auth.refresh_token_seconds) < 60
    assert (first["id"], first["current"]) == (session_of(owner.token), False)


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (b"", ""),
        (b"x" * 5000, "x" * 200),
        (b"a\x01b\x1b[31mc\x7f\x85d\tf", "ab[31mcdf"),
        (b"caf\xe9", "caf\xe9"),
        (b"<script>'; drop table users; --", "<script>'; drop table users; --"),
    ],
    ids=["empty", "long", "control", "latin", "hostile"],
)
async def test_what_a_client_says_is_cut_and_cleaned(
    client: AsyncClient, owner: Caller, sent: bytes, shown: str
) -> None:
    """200 characters at most, none of which controls a terminal; the rest is only text."""
    body = {"email": owner.email, "password": PASSWORD}
    answer = await client.post("/auth/login", json=body, headers=[(b"user-agent", sent)])
    assert (await listed(client, answer.json()["access_token"]))[0]["user_agent"] == shown


async def test_a_refresh_is_a_use(client: AsyncClient, owner: Caller, cluster: Cluster, database: str) -> None:
    """The last use is that of the last refresh; the session stays the same."""
    tokens = await sign_in(client, owner.email)
    await cluster.rows(database, LONG_AGO, id=session_of(tokens["access_token"]))
    before = (await listed(client, owner.token))[-1]
    await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    used = (await listed(client, owner.token))[-1]
    assert used["id"] == session_of(tokens["access_token"])
    assert used["last_used_at"] > before["last_used_at"] == used["created_at"]


async def test_only_living_sessions_of_ones_own_are_listed(
    client: AsyncClient, team: Team, cluster: Cluster, database: str
) -> None:
    """Ended and expired ones are gone, those of others were never there; pages lead through the rest."""
    tokens = [(await sign_in(client, team.owner.email))["access_token"] for _ in range(4)]
    await client.post("/auth/logout", headers=bearer(tokens[0]))
    expire = "update auth_sessions set expires_at = now() where id = :id returning 1"
    await cluster.rows(database, expire, id=session_of(tokens[1]))
    expected = [session_of(token) for token in (tokens[3], tokens[2], team.owner.token)]
    assert [row["id"] for row in await listed(client, team.owner.token)] == expected
    found: list[str] = []
    query: dict[str, Any] = {"limit": 1}
    while query.get("cursor", "") is not None:
        page = (await client.get("/auth/sessions", headers=bearer(tokens[2]), params=query)).json()
        found += [row["id"] for row in page["items"]]
        query["cursor"] = page["next_cursor"]
    assert found == expected
    strange = await team.stranger.call("GET", "/auth/sessions", params={"cursor": "x"})
    assert (strange.status_code, strange.json()["code"]) == (400, "invalid_cursor")


async def test_one_session_is_ended(client: AsyncClient, owner: Caller, cluster: Cluster, database: str) -> None:
    """Neither token of it is accepted any more, the others are, and the audit says it in the system tenant."""
    tokens = await sign_in(client, owner.email)
    ended = session_of(tokens["access_token"])
    answer = await client.delete(f"/auth/sessions/{ended}", headers=bearer(owner.token))
    assert answer.status_code == 200
    assert answer.json() == {"status": True, "msg": "The session has ended.", "details": {}}
    assert not await is_signed_in(client, tokens["access_token"])
    refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401
    assert await is_signed_in(client, owner.token)
    again = await client.delete(f"/auth/sessions/{ended}", headers=bearer(owner.token))
    assert (again.status_code, again.json()["code"]) == (404, "session_not_found")
    rows = await cluster.rows(database, ACTIONS, tenant=SYSTEM_TENANT_ID, actor=owner.user_id)
    assert [row.action for row in rows if row.object_id == uuid.UUID(ended)] == ["session.started", "session.ended"]


async def test_the_present_session_may_be_ended(client: AsyncClient, owner: Caller) -> None:
    """It is the same as to sign out."""
    answer = await client.delete(f"/auth/sessions/{session_of(owner.token)}", headers=bearer(owner.token))
    assert answer.status_code == 200
    assert not await is_signed_in(client, owner.token)


async def test_a_session_of_somebody_else_is_missing(client: AsyncClient, team: Team) -> None:
    """Another's session is as missing as one that never was, and goes on."""
    answers = [
        await client.delete(f"/auth/sessions/{one}", headers=bearer(team.owner.token))
        for one in (session_of(team.stranger.token), session_of(team.member.token), uuid.uuid4(), uuid.UUID(int=0))
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "session_not_found")] * 4
    assert await is_signed_in(client, team.stranger.token)
    assert await is_signed_in(client, team.member.token)


async def test_all_other_sessions_are_ended_at_once(
    client: AsyncClient, team: Team, cluster: Cluster, database: str
) -> None:
    """The one that asks stays, those of others too; the second time there is nothing to end, and nothing audited."""
    caller = team.owner
    tokens = [(await sign_in(client, caller.email))["access_token"] for _ in range(3)]
    answer = await client.delete("/auth/sessions", headers=bearer(tokens[1]))
    assert (answer.status_code, answer.json()["details"]) == (200, {"ended": 3})
    alive = [await is_signed_in(client, token) for token in (*tokens, caller.token, team.member.token)]
    assert alive == [False, True, False, False, True]
    again = await client.delete("/auth/sessions", headers=bearer(tokens[1]))
    assert again.json()["details"] == {"ended": 0}
    rows = await cluster.rows(database, ACTIONS, tenant=SYSTEM_TENANT_ID, actor=caller.user_id)
    ended = [row for row in rows if row.action == "user.sessions_ended"]
    assert [(row.object_id, row.after) for row in ended] == [(caller.user_id, {"sessions_ended": 3})]


async def test_two_devices_that_end_each_other(client: AsyncClient, owner: Caller) -> None:
    """Both asked at once: nobody meets an error, and at most one of the two is left."""
    one, two = [(await sign_in(client, owner.email))["access_token"] for _ in range(2)]
    answers = await asyncio.gather(*(client.delete("/auth/sessions", headers=bearer(token)) for token in (one, two)))
    assert {answer.status_code for answer in answers} <= {200, 401}
    assert not await is_signed_in(client, owner.token)
    assert [await is_signed_in(client, one), await is_signed_in(client, two)].count(True) <= 1


async def test_what_is_over_is_removed_after_a_while(
    client: AsyncClient, owner: Caller, cluster: Cluster, database: str
) -> None:
    """A sign-in that ended long enough ago goes with its tokens, and an old link; what ended lately stays."""
    old, lately, living = [await sign_in(client, owner.email) for _ in range(3)]
    for tokens in (old, lately):
        await client.post("/auth/logout", headers=bearer(tokens["access_token"]))
    age = f"now() - interval '{settings.auth.kept_days} days 1 minute'"
    ended = f"update auth_sessions set ended_at = {age} where id = :id returning 1"
    assert await cluster.rows(database, ended, id=session_of(old["access_token"]))
    link = f"update auth_links set expires_at = {age} where user_id = :user returning 1"
    assert await cluster.rows(database, link, user=owner.user_id)
    removed = await purge(cluster.url("app_rw", database))
    assert removed["sign-ins"] >= 1
    left = await cluster.rows(database, "select id from auth_sessions where user_id = :user", user=owner.user_id)
    ids = {str(row.id) for row in left}
    assert session_of(old["access_token"]) not in ids
    assert {session_of(tokens["access_token"]) for tokens in (lately, living)} <= ids
    assert await cluster.rows(database, "select 1 from auth_links where user_id = :user", user=owner.user_id) == []
    assert (await client.get("/users/me", headers=bearer(living["access_token"]))).status_code == 200
