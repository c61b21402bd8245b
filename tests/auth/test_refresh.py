"""Staying signed in: a chain of refresh tokens that ends when somebody holds a copy."""

import asyncio
import hashlib
from typing import Any

import jwt
import pytest
from httpx2 import AsyncClient, Response

from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.support import Caller, Cluster, sign_in

Tokens = dict[str, Any]


async def refresh(client: AsyncClient, token: str) -> Response:
    """Send a refresh token."""
    return await client.post("/auth/refresh", json={"refresh_token": token})


async def exchange(client: AsyncClient, token: str) -> Tokens:
    """Exchange a refresh token that is good."""
    answer = await refresh(client, token)
    assert answer.status_code == 200, answer.text
    tokens: Tokens = answer.json()
    return tokens


async def is_signed_in(client: AsyncClient, tokens: Tokens) -> bool:
    """Tell whether the access token is accepted."""
    answer = await client.get("/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


async def is_refused(client: AsyncClient, token: str) -> bool:
    """Tell whether a refresh token is refused, in the way of every bad one."""
    answer = await refresh(client, token)
    if answer.status_code == 200:
        return False
    assert (answer.status_code, answer.json()["code"]) == (401, "refresh_refused")
    assert token not in answer.text
    return True


def session_of(tokens: Tokens) -> str:
    """Return the session that an access token names."""
    sid: str = jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"]
    return sid


def sha256(token: str) -> bytes:
    """Return what is stored of a token."""
    return hashlib.sha256(token.encode()).digest()


@pytest.fixture
async def tokens(client: AsyncClient, owner: Caller) -> Tokens:
    """Sign the owner in."""
    return await sign_in(client, owner.email)


async def test_a_token_is_exchanged_for_the_next_pair(client: AsyncClient, tokens: Tokens) -> None:
    """A refresh answers like a sign-in, in the same session, with another refresh token; both access tokens work."""
    following = await exchange(client, tokens["refresh_token"])
    assert following.keys() == tokens.keys()
    assert following["expires_in"] == settings.auth.access_token_seconds
    assert following["refresh_token"].startswith("gpr_")
    assert len(following["refresh_token"]) == len(tokens["refresh_token"])
    assert following["refresh_token"] != tokens["refresh_token"]
    assert session_of(following) == session_of(tokens)
    assert await is_signed_in(client, tokens)
    assert await is_signed_in(client, following)
    third = await exchange(client, following["refresh_token"])
    assert third["refresh_token"] not in {tokens["refresh_token"], following["refresh_token"]}


async def test_a_repeat_within_the_grace_gives_the_same_successor(
    client: AsyncClient, tokens: Tokens, cluster: Cluster, database: str
) -> None:
    """Who lost the answer asks again and gets the same refresh token, up to the end of the grace."""
    following = await exchange(client, tokens["refresh_token"])
    for seconds in (0, settings.auth.refresh_grace_seconds - 10):
        await age(cluster, database, tokens["refresh_token"], seconds)
        assert (await exchange(client, tokens["refresh_token"]))["refresh_token"] == following["refresh_token"]
    assert (await exchange(client, following["refresh_token"]))["refresh_token"] != following["refresh_token"]


async def test_racers_get_one_successor(client: AsyncClient, tokens: Tokens, cluster: Cluster, database: str) -> None:
    """Twenty who send one token at once all succeed and agree; the chain has one link more, one of them unused."""
    answers = await asyncio.gather(*(refresh(client, tokens["refresh_token"]) for _ in range(20)))
    assert [answer.status_code for answer in answers] == [200] * 20
    (following,) = {answer.json()["refresh_token"] for answer in answers}
    links = await cluster.rows(
        database,
        "select token_hash, nonce is null as unused from refresh_tokens where session_id = :id order by created_at",
        id=session_of(tokens),
    )
    assert [(link.token_hash, link.unused) for link in links] == [
        (sha256(tokens["refresh_token"]), False),
        (sha256(following), True),
    ]
    assert all([await is_signed_in(client, answer.json()) for answer in answers])


async def test_a_token_that_comes_back_ends_the_session(
    client: AsyncClient, tokens: Tokens, owner: Caller, cluster: Cluster, database: str
) -> None:
    """Once the successor was used, the old token ends the whole session, although its request is refused.

    Every token of the session is refused from then on; the person's other sessions live, and the audit has a row.
    """
    second = await exchange(client, tokens["refresh_token"])
    third = await exchange(client, second["refresh_token"])
    assert await is_signed_in(client, third)
    assert await is_refused(client, tokens["refresh_token"])
    for each in (tokens, second, third):
        assert not await is_signed_in(client, each)
        assert await is_refused(client, each["refresh_token"])
    assert await is_signed_in(client, {"access_token": owner.token})
    rows = await cluster.rows(
        database,
        "select action, outcome, tenant_id from audit_entries where object_id = :id order by id",
        id=session_of(tokens),
    )
    assert [tuple(row) for row in rows] == [
        ("session.started", "success", SYSTEM_TENANT_ID),
        ("session.revoked", "failure", SYSTEM_TENANT_ID),
    ]


async def test_racers_with_a_stolen_token_end_the_session_too(client: AsyncClient, tokens: Tokens) -> None:
    """Ten at once who bring an old token are all refused, and none of them meets an error."""
    second = await exchange(client, tokens["refresh_token"])
    third = await exchange(client, second["refresh_token"])
    assert await asyncio.gather(*(is_refused(client, tokens["refresh_token"]) for _ in range(10))) == [True] * 10
    assert not await is_signed_in(client, third)


async def test_after_the_grace_a_repeat_ends_the_session(
    client: AsyncClient, tokens: Tokens, cluster: Cluster, database: str
) -> None:
    """When the grace is over even an unused successor does not help."""
    following = await exchange(client, tokens["refresh_token"])
    await age(cluster, database, tokens["refresh_token"], settings.auth.refresh_grace_seconds + 1)
    assert await is_refused(client, tokens["refresh_token"])
    assert await is_refused(client, following["refresh_token"])
    assert not await is_signed_in(client, following)


async def age(cluster: Cluster, database: str, token: str, seconds: int) -> None:
    """Let it be so many seconds since a token was exchanged."""
    query = (
        "update refresh_tokens set exchanged_at = now() - make_interval(secs => :seconds)"
        " where token_hash = :hash and exchanged_at is not null returning 1"
    )
    assert await cluster.rows(database, query, seconds=seconds, hash=sha256(token))


async def test_a_session_that_is_not_used_expires(
    client: AsyncClient, tokens: Tokens, cluster: Cluster, database: str
) -> None:
    """After its time neither the refresh token nor the access token is accepted."""
    query = "update auth_sessions set expires_at = now() where id = :id returning 1"
    assert await cluster.rows(database, query, id=session_of(tokens))
    assert await is_refused(client, tokens["refresh_token"])
    assert not await is_signed_in(client, tokens)


async def test_use_keeps_a_session_alive(client: AsyncClient, tokens: Tokens, cluster: Cluster, database: str) -> None:
    """An exchange gives the session its whole time again."""
    query = "update auth_sessions set expires_at = now() + interval '1 minute' where id = :id returning 1"
    assert await cluster.rows(database, query, id=session_of(tokens))
    await exchange(client, tokens["refresh_token"])
    query = "select extract(epoch from expires_at - now()) from auth_sessions where id = :id"
    ((left,),) = await cluster.rows(database, query, id=session_of(tokens))
    assert settings.auth.refresh_token_seconds - 60 < left <= settings.auth.refresh_token_seconds


async def test_a_session_has_an_end(client: AsyncClient, tokens: Tokens, cluster: Cluster, database: str) -> None:
    """However much it is used: near the end of its whole life an exchange gives it what is left, then nothing."""
    old = "update auth_sessions set created_at = now() - make_interval(secs => :age) where id = :id returning 1"
    life = settings.auth.session_seconds
    assert await cluster.rows(database, old, age=life - 60, id=session_of(tokens))
    tokens = await exchange(client, tokens["refresh_token"])
    query = "select extract(epoch from expires_at - now()) from auth_sessions where id = :id"
    ((left,),) = await cluster.rows(database, query, id=session_of(tokens))
    assert 0 < left <= 60
    assert await cluster.rows(database, old, age=life, id=session_of(tokens))
    tokens = await exchange(client, tokens["refresh_token"])
    assert not await is_signed_in(client, tokens)
    assert await is_refused(client, tokens["refresh_token"])


@pytest.mark.parametrize(
    "token", ["gpr_" + "A" * 43, "gpr_", "?x?", "é🔑", "with\0nul", "' or 1 = 1 --", "x" * 2000, " \t"]
)
async def test_what_is_no_token_of_ours_is_refused(client: AsyncClient, token: str) -> None:
    """An unknown or malformed token is 401."""
    assert await is_refused(client, token)


@pytest.mark.parametrize("token", ["", "x" * 2001, None, 5, ["gpr_x"]])
async def test_what_is_no_text_for_a_token_is_refused(client: AsyncClient, token: object) -> None:
    """A token of another type or length is 422."""
    answer = await client.post("/auth/refresh", json={"refresh_token": token})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")


async def test_the_two_tokens_do_not_stand_in_for_each_other(client: AsyncClient, tokens: Tokens) -> None:
    """An access token does not refresh, a refresh token does not open an operation; neither ends the session."""
    assert await is_refused(client, tokens["access_token"])
    assert not await is_signed_in(client, {"access_token": tokens["refresh_token"]})
    assert await is_signed_in(client, tokens)
    assert not await is_refused(client, tokens["refresh_token"])


async def test_a_token_with_a_changed_end_is_refused(client: AsyncClient, tokens: Tokens) -> None:
    """A token is compared whole."""
    token = tokens["refresh_token"]
    for other in (token[:-1], token + "A", token.lower(), " " + token, token.removeprefix("gpr_")):
        assert other != token
        assert await is_refused(client, other)
    assert not await is_refused(client, token)
