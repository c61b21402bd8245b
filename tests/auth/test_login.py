"""Signing in: what the tokens are, and what a refusal gives away."""

import uuid
from typing import Any

import jwt
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import event

from app.auth.tokens import signing_keys
from app.config import settings
from tests.auth.hashers import WatchedHasher
from tests.support import PASSWORD, Caller, Cluster, Team, settled_of, sign_in


async def login(client: AsyncClient, **body: Any) -> Response:
    """Try to sign in."""
    return await client.post("/auth/login", json=body)


def said(answer: Response) -> dict[str, Any]:
    """Return a problem without what names the request."""
    problem: dict[str, Any] = answer.json()
    assert problem.pop("request_id") == answer.headers["X-Request-ID"]
    return problem


async def test_the_answer_is_a_pair_of_tokens(client: AsyncClient, owner: Caller) -> None:
    """Signing in answers exactly the four members of the contract; the access token works at once."""
    answer = await login(client, email=owner.email, password=PASSWORD)
    assert answer.status_code == 200
    tokens = answer.json()
    assert tokens.keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", settings.auth.access_token_seconds)
    assert tokens["refresh_token"].startswith("gpr_")
    assert len(tokens["refresh_token"]) == len("gpr_") + 43
    me = await client.get("/users/me", headers={"Authorization": f"bearer {tokens['access_token']}"})
    assert me.json()["id"] == str(owner.user_id)


async def test_the_access_token_says_who_and_nothing_of_what_they_may(client: AsyncClient, owner: Caller) -> None:
    """The token has the header of RFC 9068 with a `kid`, and six claims: no role, no permission, no tenant, no name."""
    token = (await sign_in(client, owner.email))["access_token"]
    header = jwt.get_unverified_header(token)
    kid, key = next(iter(signing_keys().items()))
    assert header == {"typ": "at+jwt", "alg": "HS256", "kid": kid}
    assert key not in token
    claims = jwt.decode(token, key, algorithms=["HS256"], audience=settings.auth.audience)
    assert claims.keys() == {"iss", "aud", "sub", "sid", "iat", "exp"}
    assert (claims["iss"], claims["aud"]) == (settings.auth.issuer, settings.auth.audience)
    assert claims["sub"] == str(owner.user_id)
    assert uuid.UUID(claims["sid"]).version == 7
    assert claims["exp"] - claims["iat"] == settings.auth.access_token_seconds


async def test_each_sign_in_is_a_session_of_its_own(client: AsyncClient, owner: Caller) -> None:
    """Two devices of one person share no session and no token."""
    one, two = await sign_in(client, owner.email), await sign_in(client, owner.email)
    sessions = {jwt.decode(tokens["access_token"], options={"verify_signature": False})["sid"] for tokens in (one, two)}
    assert len(sessions) == 2
    assert one["refresh_token"] != two["refresh_token"]


async def test_only_the_hash_of_a_refresh_token_is_kept(
    client: AsyncClient, owner: Caller, cluster: Cluster, database: str
) -> None:
    """Nobody who reads the tables can refresh: neither the token nor its bytes are in them."""
    token = (await sign_in(client, owner.email))["refresh_token"]
    query = (
        "select t.* from refresh_tokens t join auth_sessions s on s.id = t.session_id where s.user_id = :user"
        " order by t.created_at desc limit 1"
    )
    (row,) = await cluster.rows(database, query, user=owner.user_id)
    assert len(row.token_hash) == 32
    assert token.encode() not in row.token_hash
    assert row.nonce is None
    assert token not in str(row)


async def test_a_refusal_does_not_tell_why(client: AsyncClient, team: Team, cluster: Cluster, database: str) -> None:
    """A wrong password, an unknown address and a disabled account get the same answer but for the request's id."""
    await disable(cluster, database, team.viewer.user_id)
    wrong = await login(client, email=team.owner.email, password="not the password")
    unknown = await login(client, email=f"{uuid.uuid4().hex}@example.com", password=PASSWORD)
    disabled = await login(client, email=team.viewer.email, password=PASSWORD)
    assert said(wrong) == said(unknown) == said(disabled)
    assert said(wrong)["code"] == "wrong_credentials"
    for answer in (wrong, unknown, disabled):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert answer.headers["Content-Type"] == "application/problem+json"
    names = [sorted(answer.headers) for answer in (wrong, unknown, disabled)]
    assert names == [names[0]] * 3


async def test_a_refusal_takes_the_same_work(
    client: AsyncClient, application: FastAPI, team: Team, cluster: Cluster, database: str, hasher: WatchedHasher
) -> None:
    """One hash of the same cost, the same statements in the same order, and one row of the audit: whatever is wrong."""
    await disable(cluster, database, team.viewer.user_id)
    work = application.state.serving.gate.work
    engines = [sessions.kw["bind"].sync_engine for sessions in (work.sessions, work.reserve)]
    found: list[list[str]] = []

    def note(_: Any, __: Any, statement: str, *_rest: Any) -> None:
        found[-1].append(statement)

    await settled_of(work)
    cases = [
        (team.owner.email, "not the password"),
        (f"{uuid.uuid4().hex}@example.com", PASSWORD),
        (team.viewer.email, PASSWORD),
        (team.viewer.email, "not the password"),
    ]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    for email, password in cases:
        found.append([])
        assert (await login(client, email=email, password=password)).status_code == 401
    for engine in engines:
        event.remove(engine, "before_cursor_execute", note)
    assert found == [found[0]] * len(cases)
    assert [statement.split()[0] for statement in found[0]] == ["SELECT", "INSERT"]
    assert hasher.calls == [hasher.calls[0]] * len(cases)


async def test_a_disabled_account_is_out_at_once(
    client: AsyncClient, team: Team, cluster: Cluster, database: str
) -> None:
    """From the next request on neither its access token, nor its refresh token, nor its password is accepted."""
    tokens = await sign_in(client, team.member.email)
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert (await client.get("/users/me", headers=bearer)).status_code == 200
    await disable(cluster, database, team.member.user_id)
    assert (await client.get("/users/me", headers=bearer)).status_code == 401
    assert (await team.member.call("GET", "/projects")).status_code == 401
    refreshed = await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert (refreshed.status_code, refreshed.json()["code"]) == (401, "refresh_refused")
    assert (await login(client, email=team.member.email, password=PASSWORD)).status_code == 401


async def disable(cluster: Cluster, database: str, user_id: uuid.UUID) -> None:
    """Switch an account off."""
    await cluster.rows(database, "update users set disabled_at = now() where id = :id returning 1", id=user_id)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": PASSWORD}, "email"),
        ({"email": "a@example.com"}, "password"),
        ({"email": "no address", "password": PASSWORD}, "email"),
        ({"email": "a" * 321, "password": PASSWORD}, "email"),
        ({"email": "a@example.com\r\n", "password": PASSWORD}, "email"),
        ({"email": "a@example.com", "password": ""}, "password"),
        ({"email": "a@example.com", "password": "a secret 7" * 26}, "password"),
        ({"email": "a@example.com", "password": ["a secret 7"]}, "password"),
        ({"email": "a@example.com", "password": PASSWORD, "remember": PASSWORD}, "remember"),
    ],
)
async def test_bad_input_is_refused_without_an_echo(client: AsyncClient, body: dict[str, Any], field: str) -> None:
    """A body of another form is 422 and names the field; no password comes back."""
    answer = await login(client, **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["body", field]
    assert PASSWORD not in answer.text
    assert "a secret 7" not in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "application/json", 422),
        (b"null", "application/json", 422),
        (b"[]", "application/json", 422),
        (b"{", "application/json", 400),
        (b'{"email": "a@example.com", "password": "\\ud800 secret"}', "application/json", 400),
        (b"email=a%40example.com&password=secret", "application/x-www-form-urlencoded", 422),
        (b'{"email": "a@example.com", "password": "secret"}', "text/plain", 422),
    ],
)
async def test_a_body_that_is_no_object_of_json_is_refused(
    client: AsyncClient, content: bytes, kind: str, status: int
) -> None:
    """What is not JSON is 400, what is no object is 422; neither is shown again."""
    answer = await client.post("/auth/login", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert "secret" not in answer.text
