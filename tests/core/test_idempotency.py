"""Idempotency-Key: the same POST sent again is answered, and not carried out, a second time."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Query, Response
from fastapi.responses import StreamingResponse
from httpx2 import AsyncClient
from httpx2 import Response as Answer
from pydantic import SecretStr

from app.auth.permissions import access_control
from app.config import settings
from app.core import idempotency
from app.core.idempotency import LARGEST_ANSWER, PURGED_AT_ONCE, carries_secret
from app.core.openapi import document
from app.core.routing import Router, operations
from app.main import bare_app, create_app
from app.routes import ROUTERS
from app.tenants.permissions import TenantPermission
from app.utils.schemas import DefaultResponse, Page, SecretResponse
from tests.access.wire import ask
from tests.core.conftest import Stage
from tests.core.trial import run_sql
from tests.support import PASSWORD, Caller, Cluster, Team, join, serve, sign_in


def a_key() -> str:
    """Return a key that nobody used."""
    return str(uuid.uuid4())


async def send(caller: Caller, key: str, name: str, path: str = "/projects", **rest: Any) -> Answer:
    """Create a project under a key."""
    return await caller.call("POST", path, json={"name": name}, headers={"Idempotency-Key": key}, **rest)


def same(first: Answer, second: Answer) -> bool:
    """Tell whether an answer repeats another, and says so."""
    varying = {"x-request-id", "idempotency-replayed"}
    kept = [{name: value for name, value in one.headers.items() if name not in varying} for one in (first, second)]
    whole = (first.status_code, first.content, kept[0]) == (second.status_code, second.content, kept[1])
    return (
        whole and second.headers.get("idempotency-replayed") == "true" and "idempotency-replayed" not in first.headers
    )


async def names(caller: Caller) -> list[str]:
    """Return the names of the tenant's projects."""
    return [project["name"] for project in (await caller.call("GET", "/projects")).json()["items"]]


def refusal(answer: Answer) -> tuple[int, str]:
    """Return status and code of a problem."""
    return answer.status_code, answer.json()["code"]


async def test_a_repeated_request_gets_the_first_answer(owner: Caller) -> None:
    """Status, body, ETag and all: and one project was created."""
    key = a_key()
    first, second, third = [await send(owner, key, "once") for _ in range(3)]
    assert first.status_code == 201
    assert first.headers["etag"] == '"1"'
    assert same(first, second)
    assert same(first, third)
    assert await names(owner) == ["once"]


async def test_the_quoted_and_the_plain_spelling_are_one_key(owner: Caller) -> None:
    """The draft quotes, most clients do not; a backslash hides a quote."""
    assert same(await send(owner, "a-key", "once"), await send(owner, '"a-key"', "once"))
    assert same(await send(owner, 'a"\\b', "twice"), await send(owner, r'"a\"\\b"', "twice"))


async def test_another_body_or_query_is_another_request(owner: Caller) -> None:
    """Under a used key it is refused; the answer tells nothing of the first."""
    key = a_key()
    first = await send(owner, key, "once")
    for refused in (await send(owner, key, "other"), await send(owner, key, "once", params={"dry": "1"})):
        assert refusal(refused) == (422, "idempotency_mismatch")
        assert first.json()["id"] not in refused.text
    assert same(first, await send(owner, key, "once"))
    assert await names(owner) == ["once"]


async def test_a_key_counts_for_one_actor_tenant_and_address(team: Team, cluster: Cluster, database: str) -> None:
    """Somebody else, another tenant, another operation, another object: each is on its own."""
    key = a_key()
    elsewhere = await join(cluster, database, team.owner, team.stranger.tenant_id, "owner")
    for caller in (team.owner, team.member, elsewhere, team.stranger):
        answer = await send(caller, key, f"of {uuid.uuid4()}")
        assert answer.status_code == 201
        assert "idempotency-replayed" not in answer.headers
    keyed = {"Idempotency-Key": key}
    assert (await team.owner.call("POST", "/tenants", json={"name": "new"}, headers=keyed)).status_code == 201
    for _ in range(2):
        path = f"/projects/{(await team.owner.create_project())['id']}"
        await team.owner.call("DELETE", path)
        restored = await team.owner.call("POST", f"{path}/restore", headers=keyed)
        assert "idempotency-replayed" not in restored.headers
        assert same(restored, await team.owner.call("POST", f"{path}/restore", headers=keyed))


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "GET"])
async def test_other_methods_do_not_look_at_it(owner: Caller, method: str) -> None:
    """Even a malformed one."""
    path = f"/projects/{(await owner.create_project())['id']}"
    body = {"json": {"description": "x"}} if method == "PATCH" else {}
    for _ in range(2 if method != "DELETE" else 1):
        answer = await owner.call(method, path, headers={"Idempotency-Key": "no key"}, **body)
        assert answer.status_code == 200
        assert "idempotency-replayed" not in answer.headers


MALFORMED: dict[str, list[bytes]] = {
    "empty": [b""],
    "empty_quoted": [b'""'],
    "doubled": [b"a", b"a"],
    "joined": [b"a, b"],
    "white_space": [b"a b"],
    "control": [b"a\x01b"],
    "not_ascii": ["schlüssel".encode()],
    "latin_1": [b"\xe9"],
    "half_quoted": [b'"a'],
    "parameters": [b'"a";b=1'],
    "bad_escape": [rb'"a\b"'],
    "too_long": [b"a" * 256],
    "too_long_quoted": [b'"%b"' % (b"a" * 256)],
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_a_malformed_key_is_refused_before_the_body_is_read(
    application: FastAPI, owner: Caller, case: str
) -> None:
    """400, after the sign-in was verified; nothing is carried out."""
    lines = [(name.lower().encode(), value.encode()) for name, value in owner.headers.items()]
    keys = [(b"idempotency-key", value) for value in MALFORMED[case]]
    exchange = await ask(application, "POST", "/projects", lines + keys, b'{"name": "never"}')
    assert (exchange.status, exchange.code, exchange.reads) == (400, "idempotency_key", 0)
    assert (await ask(application, "POST", "/projects", keys)).status == 401
    assert await names(owner) == []


async def test_a_long_key_is_accepted(owner: Caller) -> None:
    """255 characters of any visible kind, quoted or not."""
    key = "".join(map(chr, range(0x23, 0x7F))).replace("\\", "").ljust(255, "x")
    assert same(await send(owner, key, "once"), await send(owner, f'"{key}"', "once"))


@pytest.mark.parametrize("path", ["/auth/login", "/auth/refresh"])
async def test_an_answer_with_a_secret_is_never_stored(
    client: AsyncClient, owner: Caller, path: str, cluster: Cluster, database: str
) -> None:
    """The header is refused, and the answer that comes without it is not to be cached."""
    tokens = await sign_in(client, owner.email)
    body = {"/auth/login": {"email": owner.email, "password": PASSWORD}}.get(path, tokens)
    body = {name: body[name] for name in ("email", "password", "refresh_token") if name in body}
    before = await cluster.rows(database, "select count(*) from idempotency_keys")
    refused = await client.post(path, json=body, headers={"Idempotency-Key": a_key()})
    assert refusal(refused) == (400, "idempotency_refused")
    assert await cluster.rows(database, "select count(*) from idempotency_keys") == before
    assert (await client.post(path, json=body)).headers["cache-control"] == "no-store"


def test_the_document_offers_the_key_where_it_counts() -> None:
    """On every POST whose answer is no secret and whose body is no stream, with its errors; nowhere else."""
    app = bare_app()
    routes, offering = {f"{method} {path}": route for method, path, route in operations(app)}, set()
    for path, item in document(app)["paths"].items():
        for method, operation in item.items():
            if any(one["name"] == "Idempotency-Key" for one in operation.get("parameters", ())):
                offering.add(f"{method.upper()} {path}")
                assert operation["responses"].keys() >= {"409", "422"}
    bare = {name for name, route in routes.items() if route.secret or route.streams}
    assert offering == {name for name in routes if name.startswith("POST")} - bare
    assert {name.rpartition("/")[2] for name, route in routes.items() if route.secret} >= {"login", "refresh"}


class Secret(SecretResponse):
    """An answer with a secret."""

    key: str


class Holder(DefaultResponse):
    """An answer that holds one somewhere, and itself."""

    inner: dict[str, "Holder"] | list[Secret | None]


@pytest.mark.parametrize("model", [Secret, list[Secret], Secret | None, Page[Secret], Holder])
def test_a_secret_is_found_at_any_depth(model: Any) -> None:
    """In lists, unions, pages and fields."""
    assert carries_secret(model) is True


@pytest.mark.parametrize("model", [None, DefaultResponse, Page[DefaultResponse], list[int], dict[str, Any]])
def test_what_holds_no_secret_is_none(model: Any) -> None:
    """The usual answers."""
    assert carries_secret(model) is False


async def test_registration_is_repeatable(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """Nobody is signed in: the key alone names the caller, who appears neither in the audit nor among people."""
    key = {"Idempotency-Key": a_key()}
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, "full_name": "A", "tenant_name": "A"}
    first, second = [await client.post("/auth/register", json=body, headers=key) for _ in range(2)]
    assert first.status_code == 201
    assert same(first, second)
    guess = await client.post("/auth/register", json=body | {"password": "another one"}, headers=key)
    assert refusal(guess) == (422, "idempotency_mismatch")
    query = "select * from idempotency_keys where tenant_id = :tenant"
    [row] = await cluster.rows(database, query, tenant=first.json()["tenant"]["id"])
    assert PASSWORD not in str(row) + bytes(row.body).decode()
    for table, column in (("users", "id"), ("audit_entries", "actor_id"), ("memberships", "user_id")):
        assert await cluster.rows(database, f"select 1 from {table} where {column} = :id", id=row.actor_id) == []


async def test_a_new_tenant_is_made_once(owner: Caller) -> None:
    """The row lies in the new tenant; its actor finds it there while none is selected."""
    key = {"Idempotency-Key": a_key()}
    first, second = [await owner.call("POST", "/tenants", json={"name": "new"}, headers=key) for _ in range(2)]
    assert first.status_code == 201
    assert same(first, second)
    assert len((await owner.call("GET", "/tenants")).json()["items"]) == 2


async def test_a_sign_out_cannot_be_repeated(owner: Caller) -> None:
    """The session is over, and 401 comes before everything else."""
    key = {"Idempotency-Key": a_key()}
    assert (await owner.call("POST", "/auth/logout", headers=key)).status_code == 200
    assert (await owner.call("POST", "/auth/logout", headers=key)).status_code == 401


async def test_who_lost_the_right_does_not_get_the_answer(team: Team, cluster: Cluster, database: str) -> None:
    """A replay passes the gate again: 403 in another role, 404 outside, and the answer when the right is back."""
    key = a_key()
    first = await send(team.member, key, "once")
    for role, status in (("viewer", 403), ("member", 201)):
        await join(cluster, database, team.member, team.member.tenant_id, role)
        assert (await send(team.member, key, "once")).status_code == status
    gone = "delete from memberships where user_id = :user and tenant_id = :tenant returning 1"
    await cluster.rows(database, gone, user=team.member.user_id, tenant=team.member.tenant_id)
    answer = await send(team.member, key, "once")
    assert refusal(answer) == (404, "tenant_not_found")
    assert first.json()["id"] not in answer.text


async def test_a_refused_request_is_not_stored(owner: Caller) -> None:
    """What rolled back is carried out when it is sent again: 422, then a name that is taken, then free."""
    key = a_key()
    assert (await send(owner, key, "")).status_code == 422
    made = await owner.create_project(name="wanted")
    assert refusal(await send(owner, key, "wanted")) == (409, "project_name_taken")
    await owner.call("DELETE", f"/projects/{made['id']}")
    assert (await send(owner, key, "wanted")).status_code == 201


async def test_a_key_is_forgotten_in_time(owner: Caller, cluster: Cluster, database: str) -> None:
    """After `server.idempotency_seconds` it is new, in the tenant as outside; later racers meet the new row."""
    age = "update idempotency_keys set created_at = now() - interval '25 hours' where actor_id = :id returning 1"
    for path in ("/projects", "/tenants"):
        key = a_key()
        first = await send(owner, key, "first", path)
        await cluster.rows(database, age, id=owner.user_id)
        second = await send(owner, key, "second", path)
        assert (first.status_code, second.status_code) == (201, 201)
        assert second.json()["id"] != first.json()["id"]
        assert same(second, await send(owner, key, "second", path))


async def test_outdated_rows_go_with_new_ones(team: Team, cluster: Cluster, database: str) -> None:
    """A bounded number each time, the oldest first, and none of another tenant."""
    tenant = {"tenant": team.owner.tenant_id}
    for number in range(PURGED_AT_ONCE + 2):
        await send(team.owner, a_key(), f"project {number}")
    await send(team.stranger, a_key(), "theirs")
    age = "update idempotency_keys set created_at = created_at - interval '25 hours'"
    both = [team.owner.tenant_id, team.stranger.tenant_id]
    await cluster.rows(database, f"{age} where tenant_id = any(:ids) returning 1", ids=both)
    count = "select count(*) from idempotency_keys where tenant_id = :tenant"
    left = []
    for number in range(2):
        await send(team.owner, a_key(), f"another {number}")
        left.append((await cluster.rows(database, count, **tenant))[0][0])
    assert left == [3, 2]
    assert (await cluster.rows(database, count, tenant=team.stranger.tenant_id))[0][0] == 1


async def test_the_log_tells_a_replay(
    owner: Caller, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request's line says `replayed`, and never the key."""
    monkeypatch.setattr("app.extensions.logs._output.threshold", 20)
    key = a_key()
    for _ in range(2):
        await send(owner, key, "once")
    first, second = (line for line in capsys.readouterr().err.splitlines() if '"event":"request"' in line)
    assert "replayed" not in first
    assert '"replayed":true' in second
    assert key not in first + second


sizes = Router(prefix="/sizes", tags=["trial"])
runs: list[int] = []


@sizes.post("/plain", responses={202: {"description": "Later"}})
@access_control(TenantPermission.read)
async def plain(size: Annotated[int, Query()]) -> Response:
    """Answer text of a size, with headers."""
    runs.append(size)
    headers = {"Location": "/there", "Set-Cookie": "secret=1", "X-Own": "yes"}
    return Response(b"x" * size, 202, headers, "text/plain")


@sizes.post("/stream")
@access_control(TenantPermission.read)
async def stream(size: Annotated[int, Query()]) -> StreamingResponse:
    """Answer a stream."""
    runs.append(size)

    async def pieces() -> AsyncIterator[bytes]:
        yield b"x" * size

    return StreamingResponse(pieces())


@sizes.post("/open")
@access_control(open=True)
async def nothing() -> DefaultResponse:
    """Answer without a Context."""
    runs.append(0)
    return DefaultResponse(msg="done")


@pytest.fixture
async def sized(cluster: Cluster, database: str, owner: Caller) -> AsyncIterator[Caller]:
    """Yield an owner in front of the operations above."""
    runs.clear()
    async with serve(create_app(url=cluster.url("app_rw", database), routers=[*ROUTERS, sizes])) as client:
        yield replace(owner, client=client)


@pytest.mark.parametrize("size", [0, LARGEST_ANSWER])
async def test_headers_are_kept_but_cookies(sized: Caller, size: int) -> None:
    """An empty body and the largest one come back, with the view's own headers; a cookie may hold a secret."""
    key = {"Idempotency-Key": a_key()}
    path = f"/sizes/plain?size={size}"
    first, second = [await sized.call("POST", path, headers=key) for _ in range(2)]
    assert first.status_code == second.status_code == 202
    assert first.content == second.content
    assert second.headers["location"] == "/there"
    assert second.headers["x-own"] == "yes"
    assert second.headers["content-type"] == first.headers["content-type"]
    assert "set-cookie" in first.headers
    assert "set-cookie" not in second.headers
    assert runs == [size]


@pytest.mark.parametrize("path", [f"/sizes/plain?size={LARGEST_ANSWER + 1}", "/sizes/stream?size=3"])
async def test_what_is_too_large_is_carried_out_once(sized: Caller, path: str) -> None:
    """The repetition learns that it was, and nothing more."""
    key = {"Idempotency-Key": a_key()}
    first, second = [await sized.call("POST", path, headers=key) for _ in range(2)]
    assert first.is_success
    assert refusal(second) == (409, "idempotency_answer_not_kept")
    assert len(runs) == 1


async def test_without_any_tenant_the_row_is_the_systems(sized: Caller) -> None:
    """An open operation that asks for nothing is repeatable as well; without a key it opens no unit of work."""
    key = {"Idempotency-Key": a_key()}
    assert same(*[await sized.client.post("/sizes/open", headers=key) for _ in range(2)])
    await sized.client.post("/sizes/open")
    assert runs == [0, 0]


async def test_a_view_that_lost_a_race_is_stored_once(
    stage: Stage, owner: Caller, cluster: Cluster, database: str
) -> None:
    """What the first run would have kept went with its transaction."""
    losses = iter([True, False])

    async def step(ctx: Any) -> None:
        if next(losses):
            await run_sql(ctx, "do $$ begin raise exception 'lost' using errcode = '40001'; end $$")

    async with stage(owner, step) as caller:
        key = {"Idempotency-Key": a_key()}
        assert same(*[await caller.call("POST", "/trial", headers=key) for _ in range(2)])
    query = "select generation from idempotency_keys where actor_id = :id"
    assert [row.generation for row in await cluster.rows(database, query, id=owner.user_id)] == [0]


async def test_a_new_signing_key_verifies_while_the_old_one_is_there(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a stored fingerprint matches nothing, and the answer stays closed."""
    old, new = settings.auth.signing_keys[0], SecretStr("another key of the test suite, for later")
    key = a_key()
    first = await send(owner, key, "once")
    for keys, status in (((new, old), 201), ((new,), 422)):
        auth = settings.auth.model_copy(update={"signing_keys": keys})
        monkeypatch.setattr(idempotency, "settings", settings.model_copy(update={"auth": auth}))
        answer = await send(owner, key, "once")
        assert answer.status_code == status
        assert same(first, answer) == (status == 201)
