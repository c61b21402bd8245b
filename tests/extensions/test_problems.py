"""Every error is a problem document, and a 500 says nothing about the inside."""

import asyncio
import json
import sqlite3
from typing import Annotated, Any

import httpx2
import orjson
import pytest
from fastapi import Body, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import ResponseValidationError
from fastapi.routing import APIRouter
from fastapi.security import HTTPBearer
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from app.exceptions import AppError, ConflictError, NotFoundError, UnauthenticatedError, UnavailableError
from app.extensions import problems
from tests.extensions.support import Lines, call, check_problem, client, make_app

SECRET = "SELECT password FROM users"


class Item(BaseModel):
    """A body."""

    name: str
    size: int = 0


class RoomTakenError(ConflictError):
    """The room is taken.

    A second paragraph is for readers of the code.
    """

    code = "room_taken"


ERRORS: dict[str, Exception] = {
    "app": RoomTakenError(),
    "detail": NotFoundError("No such room."),
    "headers": UnauthenticatedError(headers={"X-Hint": "caf\u00e9\r\nX-Evil: 1"}),
    "errors": ConflictError(errors=[{"loc": ["body", "x"], "msg": "\ud800", "type": "x", "other": {1, 2}}]),
    "busy": UnavailableError("All connections are busy."),
    "http": HTTPException(409, "Taken already.", {"X-Hint": "1"}),
    "teapot": StarletteHTTPException(418),
    "odd": StarletteHTTPException(499),
    "structured": HTTPException(400, detail={"secret": SECRET}),
    "failed": HTTPException(500, SECRET),
    "gateway": HTTPException(502, SECRET),
    "redirect": HTTPException(303, headers={"Location": "/x"}),
    "unmodified": HTTPException(304),
    "bug": RuntimeError(f"{SECRET} in /srv/app/services.py of app.users.services.UserService"),
    "sql": sqlite3.OperationalError(SECRET),
    "bare": AppError(),
}


def raising_app() -> FastAPI:
    """Return an application that raises the error whose name is asked for."""
    app = make_app()

    @app.api_route("/raise/{name}", methods=["GET", "HEAD"])
    async def fail(name: str) -> None:
        raise ERRORS[name]

    return app


def body_app() -> FastAPI:
    """Return an application with bodies and parameters to get wrong."""
    app = make_app()
    router = APIRouter(prefix="/items")

    @router.post("")
    async def create(item: Item) -> Item:
        return item

    @router.post("/any")
    async def anything(body: Annotated[Any, Body()]) -> None:
        return None

    @router.get("/{item_id}")
    async def read(item_id: int, limit: int = 1) -> int:
        return item_id + limit

    @router.delete("/{item_id}")
    async def delete(item_id: int) -> None:
        return None

    @router.get("/broken/answer")
    async def broken() -> Item:
        return {"name": SECRET, "size": "x" + SECRET}  # type: ignore[return-value] # that is the point

    app.include_router(router, prefix="/api")
    return app


async def test_app_error(lines: Lines) -> None:
    """An error of ours shows its status, its code, and the first line of its docstring."""
    async with client(raising_app()) as http:
        answer = await http.get("/raise/app", headers={"X-Request-ID": "r-1"})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:groundplan:error:room_taken",
        "title": "Conflict",
        "status": 409,
        "detail": "The room is taken.",
        "instance": "/raise/app",
        "code": "room_taken",
        "request_id": "r-1",
    }
    assert lines.all(level="error") == []


@pytest.mark.parametrize(
    ("name", "status", "code", "detail"),
    [
        ("detail", 404, "not_found", "No such room."),
        ("busy", 503, "unavailable", "All connections are busy."),
        ("http", 409, "conflict", "Taken already."),
        ("teapot", 418, "i_m_a_teapot", "I'm a Teapot."),
        ("odd", 499, "status_499", "Status 499."),
        ("structured", 400, "bad_request", "The request cannot be understood."),
        ("gateway", 502, "bad_gateway", "Bad Gateway."),
    ],
)
async def test_details(name: str, status: int, code: str, detail: str) -> None:
    """What an author says is shown below 500, and of our own errors; else it is the standard sentence."""
    async with client(raising_app()) as http:
        answer = await http.get(f"/raise/{name}")
    assert check_problem(answer.content, answer.status_code, code)["detail"] == detail
    assert answer.status_code == status


async def test_headers() -> None:
    """Headers of an error are kept, and cannot smuggle others in."""
    async with client(raising_app()) as http:
        denied = await http.get("/raise/headers")
        busy = await http.get("/raise/busy")
        taken = await http.get("/raise/http")
    assert denied.headers["www-authenticate"] == "Bearer"
    assert denied.headers["x-hint"] == "caf???X-Evil: 1"
    assert busy.headers["retry-after"] == "1"
    assert taken.headers["x-hint"] == "1"


async def test_errors_of_authors() -> None:
    """Whatever an author puts into `errors` can be sent."""
    async with client(raising_app()) as http:
        answer = await http.get("/raise/errors")
    assert answer.json()["errors"][0]["msg"] == "?"


@pytest.mark.parametrize(("name", "status"), [("redirect", 303), ("unmodified", 304)])
async def test_no_errors(name: str, status: int) -> None:
    """A status below 400 is no problem, and has no body."""
    async with client(raising_app()) as http:
        answer = await http.get(f"/raise/{name}")
    assert (answer.status_code, answer.content) == (status, b"")


@pytest.mark.parametrize("name", ["bug", "sql", "failed", "bare"])
async def test_internal_errors(name: str, lines: Lines) -> None:
    """A 500 shows nothing of the inside: no SQL, no path, no class; the log has it once, under its id."""
    async with client(raising_app()) as http:
        answer = await http.get(f"/raise/{name}", headers={"X-Request-ID": "r-500"})
    assert answer.status_code == 500
    found = check_problem(answer.content, 500, "internal_error")
    for inside in ("SELECT", "password", ".py", "/srv", "app.", "Error", "Traceback", "sqlite"):
        assert inside not in {**found, "type": ""}["detail"] + found["title"] + str(answer.headers)
    assert found["request_id"] == answer.headers["x-request-id"] == "r-500"
    failure, request = lines.all()
    assert failure["level"] in {"error", "warning"}
    assert failure["request_id"] == request["request_id"] == "r-500"
    assert (request["event"], request["status"], request["code"]) == ("request", 500, "internal_error")


async def test_stack_is_logged(lines: Lines) -> None:
    """The log has the stack of what nobody foresaw."""
    async with client(raising_app()) as http:
        await http.get("/raise/bug")
    (stack,) = lines.one(event="unhandled_error")["exception"]
    assert stack["type"] == "RuntimeError"
    assert stack["frames"][-1].endswith(" in fail")


async def test_answer_that_does_not_fit(lines: Lines) -> None:
    """An answer other than declared is a 500; neither client nor log see its values."""
    async with client(body_app()) as http:
        answer = await http.get("/api/items/broken/answer")
    check_problem(answer.content, 500, "internal_error")
    assert SECRET.encode() not in answer.content + lines.stream.getvalue()
    line = lines.one(event="unhandled_error")
    assert line["exception"][0]["type"] == ResponseValidationError.__name__
    assert line["faults"][0]["loc"] == ["response", "size"]


async def test_unknown_path() -> None:
    """A path that is not there is 404 with the same sentence as a missing object."""
    async with client(body_app()) as http:
        answer = await http.get("/nothing/here")
    found = check_problem(answer.content, 404, "not_found")
    assert found["detail"] == NotFoundError().detail
    assert found["instance"] == "/nothing/here"


async def test_wrong_method() -> None:
    """A wrong method is 405, and Allow names all methods of the path, not those of the first route alone."""
    async with client(body_app()) as http:
        answer = await http.put("/api/items/1")
        document = await http.post("/openapi.json")
    check_problem(answer.content, 405, "method_not_allowed")
    assert answer.headers["allow"] == "DELETE, GET"
    assert document.headers["allow"] == "GET, HEAD"


async def test_wrong_method_below_a_root_path() -> None:
    """Behind a proxy's prefix, Allow is the same."""
    app = body_app()
    app.root_path = "/prefix"
    async with client(app) as http:
        answer = await http.put("/prefix/api/items/1")
    assert answer.headers["allow"] == "DELETE, GET"


async def test_head_has_no_body() -> None:
    """HEAD gets the headers of GET, the length too, and no body."""
    app = raising_app()
    full, head = await call(app, "/raise/bug"), await call(app, "/raise/bug", method="HEAD")
    assert (full.status, head.status) == (500, 500)
    assert head.body == b""
    assert head.complete
    assert dict(head.headers)[b"content-length"] == str(len(full.body)).encode()
    missing = await call(body_app(), "/nothing", method="HEAD")
    assert (missing.status, missing.body) == (404, b"")


async def test_validation() -> None:
    """A body of another form is 422, with each place and no value."""
    async with client(body_app()) as http:
        answer = await http.post("/api/items", json={"size": "hunter2", "name": ["hunter2"]})
    found = check_problem(answer.content, 422, "validation_error")
    assert found["errors"] == [
        {"loc": ["body", "name"], "msg": "Input should be a valid string", "type": "string_type"},
        {
            "loc": ["body", "size"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "type": "int_parsing",
        },
    ]
    assert b"hunter2" not in answer.content


async def test_validation_of_parameters() -> None:
    """Path and query are validated in the same form."""
    async with client(body_app()) as http:
        answer = await http.get("/api/items/hunter2", params={"limit": "hunter2"})
    found = check_problem(answer.content, 422, "validation_error")
    assert [fault["loc"] for fault in found["errors"]] == [["path", "item_id"], ["query", "limit"]]
    assert "hunter2" not in str(found["errors"])


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"", b"nonsense", b'{"a": 1} x', b'{"a": "\xff"}', b"\xff\xfe", b"[" * 99, b'{"a": "\x00"}',
        b"\xef\xbb\xbf{",
    ],
)  # fmt: skip
async def test_unparsable_json(body: bytes) -> None:
    """What is no JSON is 400, and the body is not in the answer."""
    async with client(body_app()) as http:
        answer = await http.post("/api/items", content=body, headers={"content-type": "application/json"})
    if body == b"":
        check_problem(answer.content, 422, "validation_error")
        return
    found = check_problem(answer.content, 400, "malformed_json")
    assert "errors" not in found
    assert "nonsense" not in found["detail"]


@pytest.mark.parametrize("body", [b"[" * 200_000, b"1" * 10_000], ids=["nesting", "digits"])
@pytest.mark.parametrize("path", ["/items", "/any"])
async def test_json_without_end(path: str, body: bytes) -> None:
    """Nesting and digits beyond what Python reads are malformed, not a failure."""
    app = FastAPI()
    problems.install(app)

    @app.post("/items")
    async def create(item: Item) -> Item:
        return item

    @app.post("/any")
    async def anything(item: Annotated[Any, Body()]) -> None:
        return None

    async with client(app) as http:
        answer = await http.post(path, content=body, headers={"content-type": "application/json"})
    check_problem(answer.content, 400, "malformed_json")


@pytest.mark.parametrize(
    "body", [rb'{"name": "\ud800"}', rb'{"\ud800": 1, "name": 1}', rb'{"name": {"\udc00": "\ud800"}}']
)
async def test_lone_surrogates_in_the_body(body: bytes) -> None:
    """Half a character in the body is the client's mistake."""
    async with client(body_app()) as http:
        answer = await http.post("/api/items", content=body, headers={"content-type": "application/json"})
    check_problem(answer.content, 400, "malformed_json")


async def test_wrong_content_type() -> None:
    """JSON under another name is not read as JSON."""
    async with client(body_app()) as http:
        headers = {"content-type": "text/plain"}
        answer = await http.post("/api/items", content=b'{"name": "hunter2"}', headers=headers)
    check_problem(answer.content, 422, "validation_error")
    assert b"hunter2" not in answer.content


@pytest.mark.parametrize(
    ("path", "instance"),
    [
        ("/a\ud800b", "/a%3Fb"),
        ("/a b", "/a%20b"),
        ("/<script>\r\n\0", "/%3Cscript%3E%0D%0A%00"),
        ("/caf\u00e9", "/caf%C3%A9"),
        ("/" + "x" * 5000, "/" + "x" * (problems.LONGEST_PATH - 1)),
    ],
)
async def test_strange_paths(path: str, instance: str, lines: Lines) -> None:
    """Any path gives a problem and a line, bounded and in a form that can be sent."""
    reply = await call(body_app(), path)
    assert reply.problem("not_found")["instance"] == instance
    assert len(lines.one(event="request")["path"]) <= 210


async def test_strange_headers() -> None:
    """Headers that are no text do not become a failure."""
    headers = [(b"x-request-id", b"\xff\xed\xa0\x80"), (b"content-type", b"\xff"), (b"content-length", b"2")]
    reply = await call(body_app(), "/api/items", method="POST", headers=headers, chunks=[b"{}"], then="end")
    reply.problem("validation_error")


async def test_security_of_fastapi() -> None:
    """Errors of FastAPI's own helpers are problems of ours, with their challenge."""
    app = make_app()

    @app.get("/", dependencies=[Depends(HTTPBearer())])
    async def read() -> None:
        return None

    async with client(app) as http:
        answer = await http.get("/")
    check_problem(answer.content, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_wrapped_errors() -> None:
    """An error of ours that FastAPI wrapped while it read a body is shown as itself."""
    app = body_app()
    body = json.dumps({"name": "x" * 200}).encode()
    async with client(app) as http:
        answer = await http.post("/api/items", content=body, headers={"content-type": "application/json"})
    check_problem(answer.content, 413, "payload_too_large")


async def test_net_without_the_boundary(lines: Lines) -> None:
    """`install` alone answers an unforeseen error with a problem too."""
    app = FastAPI()
    problems.install(app)

    @app.get("/")
    async def fail() -> None:
        raise RuntimeError(SECRET)

    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as http:
        answer = await http.get("/")
    check_problem(answer.content, 500, "internal_error")
    assert lines.one(event="unhandled_error")


async def test_plain_asgi() -> None:
    """`problem_response` serves where there is no request object: in middleware, before any route."""

    async def closed(scope: Scope, receive: Receive, send: Send) -> None:
        await problems.problem_response(scope, UnavailableError())(scope, receive, send)

    reply = await call(closed, "/x")
    assert reply.problem("unavailable")["request_id"] == ""
    assert dict(reply.headers)[b"retry-after"] == b"1"


async def test_starlette_application() -> None:
    """The handler serves a plain Starlette application as well."""

    async def fail(request: Request) -> PlainTextResponse:
        raise NotFoundError

    app = Starlette(exception_handlers={AppError: problems.handle, 404: problems.handle})
    app.add_route("/x", fail)
    assert (await call(app, "/x")).problem("not_found")
    assert (await call(app, "/y")).problem("not_found")


def test_openapi_schema() -> None:
    """The document's schemas are complete: every reference has its target."""
    schemas = problems.problem_schemas()
    text = orjson.dumps(schemas).decode()
    assert set(schemas) == {"Problem", "Fault"}
    assert "#/components/schemas/Fault" in text
    assert "$defs" not in text


def test_codes_are_unique() -> None:
    """A status has one class that speaks for it, and each its own code."""
    codes = [kind.code for kind in problems.BY_STATUS.values()]
    assert len(codes) == len(set(codes))


async def test_concurrent_ids(lines: Lines) -> None:
    """Many failing requests at once each get their own id, in the body, the header and the log."""
    async with client(raising_app()) as http:
        answers = await asyncio.gather(*(http.get("/raise/bug") for _ in range(50)))
    ids = {answer.json()["request_id"] for answer in answers}
    assert len(ids) == 50
    assert ids == {answer.headers["x-request-id"] for answer in answers}
    assert ids == {line["request_id"] for line in lines.all(event="unhandled_error")}
