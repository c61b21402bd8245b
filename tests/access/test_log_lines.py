"""Each request leaves a line that says who asked for what, refused ones too, and never with what."""

import io
from collections.abc import Iterator

import orjson
import pytest

from app.config import settings
from app.extensions import logs
from tests.support import PASSWORD, Caller, Team


@pytest.fixture
def lines() -> Iterator[io.BytesIO]:
    """Catch the log of one test."""
    stream = io.BytesIO()
    logs.configure("INFO", "json", stream)
    yield stream
    logs.configure(settings.log.level, settings.log.format)


def request_line(stream: io.BytesIO, request_id: str) -> dict[str, object]:
    """Return the one line of a request."""
    found = [line for line in map(orjson.loads, stream.getvalue().splitlines()) if line["event"] == "request"]
    [line] = [line for line in found if line["request_id"] == request_id]
    return dict(line)


@pytest.mark.parametrize(
    ("role", "method", "path", "status"),
    [
        ("owner", "GET", "/projects", 200),
        ("viewer", "POST", "/projects", 403),
        ("owner", "POST", "/projects", 422),
        ("owner", "GET", "/projects/not-an-id", 422),
    ],
)
async def test_a_line_names_actor_tenant_and_route(
    team: Team, lines: io.BytesIO, role: str, method: str, path: str, status: int
) -> None:
    """Whatever the answer, the line says who, where, which operation, and how long it took."""
    caller: Caller = team[role]
    answer = await caller.call(method, path, headers={"X-Request-ID": "a-line"}, json={} if method == "POST" else None)
    assert (answer.status_code, answer.headers["X-Request-ID"]) == (status, "a-line")
    line = request_line(lines, "a-line")
    assert (line["actor_id"], line["tenant_id"]) == (str(caller.user_id), str(caller.tenant_id))
    assert (line["method"], line["status"]) == (method, status)
    assert str(line["route"]).startswith("/api/v1/projects")
    assert "not-an-id" not in str(line)
    assert isinstance(line["duration_ms"], float)


async def test_a_strangers_line_names_the_stranger(team: Team, lines: io.BytesIO) -> None:
    """Who asks for another tenant is named, with the tenant they asked for."""
    foreign = {"X-Tenant-ID": str(team.owner.tenant_id), "X-Request-ID": "a-stranger"}
    assert (await team.stranger.call("GET", "/projects", headers=foreign)).status_code == 404
    line = request_line(lines, "a-stranger")
    assert (line["actor_id"], line["tenant_id"]) == (str(team.stranger.user_id), str(team.owner.tenant_id))


async def test_a_refused_sign_in_says_from_where(team: Team, lines: io.BytesIO) -> None:
    """Nobody is named who has not signed in; the address is what is left to follow a guesser by."""
    body = {"email": team.owner.email, "password": "a wrong secret"}
    answer = await team.owner.client.post("/auth/login", json=body, headers={"X-Request-ID": "a-guess"})
    assert answer.status_code == 401
    line = request_line(lines, "a-guess")
    assert (line["address"], line["status"], line["code"]) == ("127.0.0.1", 401, "wrong_credentials")


async def test_no_line_holds_a_secret(team: Team, lines: io.BytesIO) -> None:
    """Passwords and tokens of a sign-in, a refresh and a refused one are nowhere in the log."""
    client, body = team.owner.client, {"email": team.owner.email, "password": PASSWORD}
    tokens = (await client.post("/auth/login", json=body)).json()
    refresh = {"refresh_token": tokens["refresh_token"]}
    following = (await client.post("/auth/refresh", json=refresh)).json()
    await client.post("/auth/login", json=body | {"password": "a wrong secret"})
    await client.get("/users/me", headers={"Authorization": f"Bearer {tokens['access_token']}x"})
    log = lines.getvalue().decode()
    assert log.count('"event":"request"') == 4
    secrets = [PASSWORD, "a wrong secret", *(pair[key] for pair in (tokens, following) for key in TOKENS)]
    assert [secret for secret in secrets if secret in log] == []


TOKENS = ("access_token", "refresh_token")
