"""Middleware: the id of a request, its line, the net for errors, and the limits of its body."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import StreamingResponse
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import Message, Receive, Scope, Send

from app.exceptions import UnauthenticatedError
from app.extensions import logs, middleware
from app.extensions.bodies import BodyLimitMiddleware, MalformedJSONError, check_json, nests_deeper
from app.extensions.middleware import ErrorBoundary, RequestIdMiddleware, RequestTracker, stack
from tests.extensions.support import LIMIT, Lines, call, check_problem, client, limits, make_app

DEPTH = 32


@dataclass(frozen=True)
class Caller:
    """What the route class knows of who is calling."""

    tenant_id: UUID | None
    actor_id: UUID | None


class Note(BaseModel):
    """A body that FastAPI reads itself."""

    text: str


def echo_app(*, seconds: float = 5.0) -> FastAPI:
    """Return an application that reads bodies in several ways."""
    app = make_app(seconds=seconds)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.post("/model")
    async def model(note: Note) -> int:
        return len(note.text)

    @app.post("/form")
    async def form(request: Request) -> int:
        return len(await request.form())

    @app.post("/stream")
    async def stream(request: Request) -> int:
        return sum([len(chunk) async for chunk in request.stream()])

    @app.post("/refused")
    async def refused(request: Request) -> int:
        raise UnauthenticatedError

    @app.post("/stubborn")
    async def stubborn(request: Request) -> int:
        for _ in range(2):
            with suppress(Exception):
                await request.receive()
        return len(await request.body())

    return app


READERS = ["/read", "/model", "/form", "/stream", "/stubborn"]
FORM = (b"content-type", b"application/x-www-form-urlencoded")


# --- the id


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 64, UUID(int=7).hex, str(UUID(int=7))])
async def test_given_id(given: str) -> None:
    """A harmless id of the client's is taken over."""
    async with client(echo_app()) as http:
        answer = await http.get("/nothing", headers={"X-Request-ID": given})
    assert answer.headers.get_list("x-request-id") == [given]
    assert answer.json()["request_id"] == given


@pytest.mark.parametrize("given", [b"", b"x" * 65, b"a b", b"a\nb", b"a/b", b"\xff", b"a,b", b"\xd9\xa1", b"a\n"])
async def test_refused_id(given: bytes, lines: Lines) -> None:
    """Any other id is replaced, and appears nowhere."""
    reply = await call(echo_app(), "/nothing", headers=[(b"x-request-id", given)])
    found = dict(reply.headers)[b"x-request-id"].decode()
    assert UUID(found).hex == found
    assert lines.one()["request_id"] == reply.problem("not_found")["request_id"] == found


async def test_doubled_id() -> None:
    """Two ids are none."""
    reply = await call(echo_app(), "/nothing", headers=[(b"x-request-id", b"a"), (b"x-request-id", b"a")])
    assert len(dict(reply.headers)[b"x-request-id"]) == 32


async def test_id_in_the_view(lines: Lines) -> None:
    """The view finds the id in `request.state`, and its log lines carry it; the next request has another."""
    app = make_app()
    log = logs.get_logger("view")

    @app.get("/")
    async def read(request: Request) -> str:
        log.info("seen")
        logs.bind(tenant_id="t1")
        return str(request.state.request_id)

    @app.get("/sync")
    def read_in_a_thread(request: Request) -> str:
        log.info("seen")
        return str(request.state.request_id)

    async with client(app) as http:
        answers = [await http.get("/"), await http.get("/sync")]
    ids = [answer.json() for answer in answers]
    assert ids == [answer.headers["x-request-id"] for answer in answers]
    assert ids == [line["request_id"] for line in lines.all(event="seen")]
    assert ids[0] != ids[1]
    first, second = lines.all(event="request")
    assert first["tenant_id"] == "t1"
    assert "tenant_id" not in second


async def test_shared_state() -> None:
    """Servers that hand every request the same state do not mix ids."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    shared = {"lifespan": 1}
    for _ in range(2):
        scope = {"type": "http", "headers": [], "state": shared}
        await RequestIdMiddleware(app)(scope, None, None)  # type: ignore[arg-type] # never called
    assert shared == {"lifespan": 1}
    assert seen[0]["state"]["request_id"] != seen[1]["state"]["request_id"]
    assert seen[0]["state"]["lifespan"] == 1


async def test_one_id_header() -> None:
    """An application that sets the header itself does not double it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x", headers={"X-Request-ID": "other"})(scope, receive, send)

    reply = await call(RequestIdMiddleware(app), headers=[(b"x-request-id", b"mine")])
    assert [value for name, value in reply.headers if name == b"x-request-id"] == [b"mine"]


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
async def test_other_protocols(kind: str, lines: Lines) -> None:
    """Lifespan and websockets pass through untouched."""
    seen: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})

    async def send(message: Message) -> None:
        seen.append(message)

    wrapped: Any = app
    for entry in reversed(stack(limits())):
        wrapped = entry.cls(wrapped, *entry.args, **entry.kwargs)
    await wrapped({"type": kind, "headers": []}, None, send)
    assert [message["type"] for message in seen] == ["websocket.accept"]
    assert ("headers" in seen[0]) == (kind == "websocket")
    assert lines.all() == []


# --- the line


async def test_line(lines: Lines) -> None:
    """A request leaves one line, with the template of its route and who called."""
    app = make_app()
    inner, outer = APIRouter(prefix="/rooms"), APIRouter(prefix="/v1")
    tenant, actor = uuid4(), uuid4()

    @inner.get("/{room_id}")
    async def read(room_id: str, request: Request) -> str:
        request.state.caller = Caller(tenant, actor)
        return room_id

    outer.include_router(inner)
    app.include_router(outer, prefix="/api")
    async with client(app) as http:
        answer = await http.get("/api/v1/rooms/secret-room?token=hunter2")
    line = lines.one(event="request")
    for name in ("timestamp", "logger", "level", "event"):
        del line[name]
    assert line.pop("duration_ms") >= 0
    assert line == {
        "request_id": answer.headers["x-request-id"],
        "method": "GET",
        "route": "/api/v1/rooms/{room_id}",
        "status": 200,
        "bytes": len(answer.content),
        "client_gone": False,
        "address": "127.0.0.1",
        "tenant_id": str(tenant),
        "actor_id": str(actor),
    }
    assert b"secret-room" not in lines.stream.getvalue()


async def test_routes(lines: Lines) -> None:
    """The template is found wherever the route is; a path only where there is none."""
    app = make_app()

    @app.get("/plain/{x}")
    async def plain(x: str) -> str:
        return x

    sub = FastAPI()
    sub.get("/inner/{x}")(plain)
    app.mount("/sub", sub)
    app.mount("/text", PlainTextResponse("x"))
    async with client(app) as http:
        for path in ("/plain/1", "/sub/inner/1", "/text/secret", "/nothing/1", "/openapi.json"):
            await http.get(path)
        await http.post("/plain/1")
    found = [line.get("route") or f"path {line['path']}" for line in lines.all(event="request")]
    assert found == [
        "/plain/{x}", "/sub/inner/{x}", "/text/{path}", "path /nothing/1", "path /openapi.json", "/plain/{x}",
    ]  # fmt: skip


async def test_routes_of_starlette(lines: Lines) -> None:
    """In a plain Starlette application too."""

    async def read(request: Request) -> PlainTextResponse:
        return PlainTextResponse("x")

    routes = [Route("/plain/{x}", read), Mount("/sub", routes=[Route("/inner/{x}", read)])]
    app = Starlette(routes=routes, middleware=stack(limits()))
    for path in ("/plain/1", "/sub/inner/1"):
        await call(app, path)
    assert [line["route"] for line in lines.all(event="request")] == ["/plain/{x}", "/sub/inner/{x}"]


async def test_partial_callers(lines: Lines) -> None:
    """A caller without a tenant, or of a strange kind, does not disturb."""
    app = make_app()

    @app.get("/{kind}")
    async def read(kind: str, request: Request) -> None:
        request.state.caller = Caller(None, UUID(int=1)) if kind == "user" else object()

    async with client(app) as http:
        assert (await http.get("/user")).status_code == 200
        assert (await http.get("/strange")).status_code == 200
    user, strange = lines.all(event="request")
    assert (user["tenant_id"], user["actor_id"]) == (None, str(UUID(int=1)))
    assert (strange["tenant_id"], strange["actor_id"]) == (None, None)


async def test_streamed_bytes(lines: Lines) -> None:
    """Bytes of a streamed answer are counted."""
    app = make_app()

    @app.get("/")
    async def read() -> StreamingResponse:
        return StreamingResponse(iter([b"abc", b"de"]))

    async with client(app) as http:
        await http.get("/")
    assert lines.one(event="request")["bytes"] == 5


async def test_client_that_leaves_in_the_body(lines: Lines) -> None:
    """A client that leaves while its body is read gets nothing; it is noted, and nobody's error."""
    for path in READERS:
        reply = await call(
            echo_app(),
            path,
            method="POST",
            headers=[FORM if path == "/form" else (b"content-type", b"application/json")],
            chunks=[b'{"te'],
            then="leave",
        )
        assert (reply.status, reply.body) == (None, b""), path
    assert [line["client_gone"] for line in lines.all()] == [True] * len(READERS)
    assert {line["level"] for line in lines.all()} == {"info"}


async def test_client_that_leaves_later(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that left while the view worked is noted, though the view never asked."""
    monkeypatch.setattr(middleware, "PATIENCE", 0)
    app = echo_app()
    answered: list[Message] = []
    messages: list[Message] = [
        {"type": "http.request", "body": b"x", "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return messages.pop(0)

    async def send(message: Message) -> None:
        answered.append(message)

    scope = {"type": "http", "method": "POST", "path": "/read", "headers": [], "query_string": b""}
    await app(scope, receive, send)
    assert lines.one(event="request")["client_gone"] is True
    await call(app, "/read", method="POST", then="end")
    assert lines.all(event="request")[-1]["client_gone"] is False


async def test_end_of_the_answer_is_no_leaving(lines: Lines) -> None:
    """A server reports a disconnect behind every answer; that one is not meant."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("x")(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"

    await call(RequestTracker(app), then="leave")
    assert lines.one(event="request")["client_gone"] is False


async def test_cancelled_request(lines: Lines) -> None:
    """A request that is cancelled from outside still leaves its line, and stays cancelled."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(call(RequestTracker(ErrorBoundary(app)), "/x"))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lines.one()["status"] is None


# --- the net


async def test_answer_that_has_begun(lines: Lines) -> None:
    """An answer that breaks off is left without its end, and the failure is logged once."""
    app = make_app()

    async def pieces() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError("broke")

    @app.get("/")
    async def read() -> StreamingResponse:
        return StreamingResponse(pieces())

    reply = await call(app)
    assert (reply.status, reply.body, reply.complete) == (200, b"half", False)
    assert lines.one(event="unhandled_error")["exception"][0]["message"] == "broke"
    assert lines.one(event="request")["status"] == 200


async def test_failure_behind_the_answer(lines: Lines) -> None:
    """What fails after the last byte is logged, and the answer stands."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("done")(scope, receive, send)
        raise RuntimeError("later")

    reply = await call(ErrorBoundary(app))
    assert (reply.status, reply.body, reply.complete) == (200, b"done", True)
    assert lines.one(event="unhandled_error")


async def test_errors_outside_of_handlers(lines: Lines) -> None:
    """An error of ours that passes no handler, as in other middleware, is a problem all the same."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnauthenticatedError

    (await call(ErrorBoundary(app))).problem("unauthenticated")
    assert lines.all() == []


@pytest.mark.parametrize("path", ["/read", "/bug", "/pieces"])
async def test_client_that_is_gone_when_it_is_answered(lines: Lines, path: str) -> None:
    """A server that raises when nobody is there: the line says so, and no error is logged but a bug of ours."""
    app = make_app()

    @app.get("/read")
    async def read() -> str:
        return "read"

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("broke")

    @app.get("/pieces")
    async def pieces() -> StreamingResponse:
        async def some() -> AsyncIterator[bytes]:
            yield b"one"

        return StreamingResponse(some())

    async def send(_: Message) -> None:
        raise BrokenPipeError

    async def receive() -> Message:
        return {"type": "http.request"}

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "http_version": "1.1"}
    await app({**scope, "asgi": {"version": "3.0", "spec_version": "2.4"}}, receive, send)
    assert lines.one(event="request")["client_gone"] is True
    errors = [line["exception"][0]["message"] for line in lines.all(level="error")]
    assert errors == (["broke"] if path == "/bug" else [])


async def test_foreign_middleware(lines: Lines) -> None:
    """The limits hold below Starlette's own kind of middleware too, which reads in a task of its own."""

    async def passing(request: Request, call_next: Any) -> Any:
        return await call_next(request)

    app = echo_app()
    app.add_middleware(BaseHTTPMiddleware, dispatch=passing)
    reply = await call(app, "/read", method="POST", chunks=[b"x" * (LIMIT + 1)], then="end")
    reply.problem("payload_too_large")


# --- the limits


@pytest.mark.parametrize("path", READERS)
async def test_declared_too_large(path: str) -> None:
    """A body that is announced too large is refused before any of it is read."""
    length = (b"content-length", str(LIMIT + 1).encode())
    reply = await call(echo_app(), path, method="POST", headers=[length, FORM])
    assert reply.status == 413
    assert str(LIMIT) in reply.problem("payload_too_large")["detail"]


@pytest.mark.parametrize("path", READERS)
@pytest.mark.parametrize("headers", [[], [(b"content-length", b"5")]], ids=["chunked", "lying"])
async def test_streamed_too_large(path: str, headers: list[tuple[bytes, bytes]]) -> None:
    """A body that grows too large is refused when it does, without waiting for its end."""
    reply = await call(echo_app(), path, method="POST", headers=[*headers, FORM], chunks=[b"x" * 60] * 4)
    reply.problem("payload_too_large")


@pytest.mark.parametrize("path", ["/read", "/stream", "/form"])
async def test_exact_limit(path: str) -> None:
    """The limit itself is allowed."""
    length = (b"content-length", str(LIMIT).encode())
    reply = await call(
        echo_app(), path, method="POST", headers=[length, FORM], chunks=[b"x" * 50, b"y" * 50], then="end"
    )
    assert reply.status == 200


@pytest.mark.parametrize(
    "values",
    [
        [b"x"], [b""], [b"-1"], [b"+5"], [b"1_0"], [b"5, 5"], [b" 5"], [b"5.0"], [b"\xb2"],
        [b"5", b"5"], [b"5", b"6"],
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/read", "/model"])
async def test_malformed_length(path: str, values: list[bytes]) -> None:
    """A Content-Length that is no number, or is there twice, is a bad request."""
    headers = [(b"content-length", value) for value in values]
    reply = await call(echo_app(), path, method="POST", headers=headers, chunks=[b"hello"], then="end")
    assert reply.problem("bad_request")["detail"] == "The header Content-Length must be one number."


@pytest.mark.parametrize("value", [b"9" * 18, b"9" * 19, b"9" * 6000])
async def test_enormous_length(value: bytes) -> None:
    """A number beyond all numbers is too large, and no failure."""
    reply = await call(echo_app(), "/read", method="POST", headers=[(b"content-length", value)])
    reply.problem("payload_too_large")


@pytest.mark.parametrize("path", READERS)
async def test_slow_body(path: str) -> None:
    """A body that is not complete in time is refused, however its pieces are spread."""
    started = time.monotonic()
    reply = await call(echo_app(seconds=0.05), path, method="POST", headers=[FORM], chunks=[b"a", b"b"])
    assert reply.problem("request_timeout")["status"] == 408
    assert dict(reply.headers)[b"connection"] == b"close"
    assert time.monotonic() - started < 2


async def test_deadline_is_for_the_whole_body() -> None:
    """Pieces that come in time one by one do not move the deadline."""

    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            await receive()

    limited = BodyLimitMiddleware(app, limit=10_000, seconds=0.1)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "http_version": "2", "method": "POST", "path": "/", "headers": []}
    await ErrorBoundary(limited)(scope, receive, send)
    assert sent[0]["status"] == 408
    assert b"connection" not in dict(sent[0]["headers"])


async def test_timeout_of_others() -> None:
    """A TimeoutError that comes from elsewhere is not taken for the deadline."""

    async def receive() -> Message:
        raise TimeoutError("not ours")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()

    async def send(message: Message) -> None:
        raise AssertionError

    with pytest.raises(TimeoutError, match="not ours"):
        await BodyLimitMiddleware(app, limit=1, seconds=5)({"type": "http", "headers": []}, receive, send)


async def test_nothing_is_read_unasked() -> None:
    """A request that is refused by its headers is refused without its body, whatever that is."""
    for headers in ([(b"content-length", b"999999")], [(b"content-length", b"x")], []):
        reply = await call(echo_app(seconds=0.01), "/refused", method="POST", headers=headers)
        reply.problem("unauthenticated")


async def test_waiting_behind_the_body() -> None:
    """The deadline ends with the body: waiting for a client to leave may take longer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(receive(), 0.1)
        await PlainTextResponse("x")(scope, receive, send)

    reply = await call(BodyLimitMiddleware(app, limit=1, seconds=0.01), chunks=[], then="end")
    assert reply.status == 200


async def test_order_of_the_stack(lines: Lines) -> None:
    """Refusals of the body's limits have an id and a line like any answer."""
    async with client(echo_app()) as http:
        answer = await http.post("/read", content=b"x" * 200, headers={"X-Request-ID": "r-9"})
    assert check_problem(answer.content, 413, "payload_too_large")["request_id"] == "r-9"
    line = lines.one()
    assert (line["status"], line["code"], line["request_id"]) == (413, "payload_too_large", "r-9")


# --- JSON


@pytest.mark.parametrize(
    "body",
    [
        rb'{"a": "\ud800"}',
        rb'{"a": "\uDC00\uD800"}',
        rb'{"\udfff": 1}',
        rb'[{"a": ["x\ud83dx"]}]',
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": "\xff"}',
        '{"a": "x"}'.encode("utf-16"),
        '{"a": "x"}'.encode("utf-16-le"),
        '{"a": "x"}'.encode("utf-32-be"),
    ],
)
def test_text_that_cannot_be_encoded(body: bytes) -> None:
    """Half a character, in whatever disguise, is malformed."""
    with pytest.raises(MalformedJSONError):
        check_json(body, DEPTH)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json at all",
        rb'{"a": "\ud83d\ude00"}',
        rb'{"a": "\\ud800"}',
        '{"a": "\U0001f600"}'.encode(),
        rb'{"a": "\u0000\ud7ff\ue000"}',
    ],
)
def test_text_that_can(body: bytes) -> None:
    """Whole characters pass, however they are written; what else is wrong is for others to say."""
    check_json(body, DEPTH)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 1}',
        rb'{"a": 1, "\u0061": 2}',
        b'[{"b": {"a": [], "c": 1, "a": {}}}]',
        b'{"a": NaN}',
        b"[Infinity]",
        b"-Infinity",
        b"\xef\xbb\xbf{}",
        b"\xef\xbb\xbf",
        b"1" * 5000,
    ],
)
def test_json_that_others_read_otherwise(body: bytes) -> None:
    """Doubled keys, numbers that are none, a byte order mark: refused before anybody takes one meaning for another."""
    with pytest.raises(MalformedJSONError):
        check_json(body, DEPTH)


PARTS = st.recursive(
    st.none() | st.text(alphabet='[]{}"\\a,:\n', max_size=6),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(alphabet='[{"\\', max_size=3), part, max_size=3),
    max_leaves=40,
)


def depth_of(value: Any) -> int:
    """Return how deep a value nests."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max(map(depth_of, parts), default=0)


@given(PARTS, st.integers(1, 5))
def test_depth_is_counted(value: Any, depth: int) -> None:
    """It is the depth of the value, whatever its texts look like."""
    assert nests_deeper(json.dumps(value).encode(), depth) == (depth_of(value) > depth)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b"[" * 500_000 + b"]" * 500_000,
        b'{"a":' * 200_000,
        b"[" + b"[]," * 300_000 + b"[]]",
        b'"[' * 500_000,
        b'"' + b'\\"' * 500_000,
        b"\\" * 999_999 + b'"',
    ],
)
def test_depth_is_counted_quickly(body: bytes) -> None:
    """No megabyte takes long; the longest are 0.1 s."""
    started = time.process_time()
    nests_deeper(body, DEPTH)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("path", ["/read", "/model", "/stream"])
@pytest.mark.parametrize("kind", [b"application/json", b"Application/Problem+JSON; charset=utf-8"])
async def test_half_characters_in_pieces(path: str, kind: bytes) -> None:
    """It is found across the pieces of a body, and whoever reads them."""
    headers = [(b"content-type", kind)]
    pieces = [b'{"text": "\\', b"ud8", b'00"}']
    reply = await call(echo_app(), path, method="POST", headers=headers, chunks=pieces, then="end")
    assert "half a character" in reply.problem("malformed_json")["detail"]


async def test_other_bodies_are_not_looked_at() -> None:
    """A file may hold what it likes."""
    headers = [(b"content-type", b"application/octet-stream")]
    body = b"\xff\0\\ud800"
    reply = await call(echo_app(), "/read", method="POST", headers=headers, chunks=[body], then="end")
    assert (reply.status, reply.body) == (200, b"8")
