"""Small applications and raw ASGI calls: httpx normalises what some of these tests are about."""

import asyncio
import io
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import orjson
from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from app.config import settings
from app.extensions import problems
from app.extensions.middleware import stack
from app.sections import ServerSettings

LIMIT = 100
BACKGROUND = ("app.core.runner", "app.core.relay", "app.core.schedule", "app.audit.chain")
"""Who may say something at any time, for other tests of this process have an application at work."""


@dataclass(frozen=True)
class Lines:
    """The log lines that were written so far."""

    stream: io.BytesIO

    def all(self, **wanted: object) -> list[dict[str, Any]]:
        """Return the test's lines whose fields have these values; every line must be whole and valid JSON."""
        found = [orjson.loads(line) for line in self.stream.getvalue().splitlines()]
        own = [line for line in found if line.get("logger") not in BACKGROUND]
        return [line for line in own if all(line.get(key) == value for key, value in wanted.items())]

    def one(self, **wanted: object) -> dict[str, Any]:
        """Return the only line with these values."""
        (line,) = self.all(**wanted)
        return line


@dataclass
class Reply:
    """What an application sent."""

    status: int | None = None
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False

    def problem(self, code: str) -> dict[str, Any]:
        """Return the problem in the body, which must have this code and be well formed."""
        assert dict(self.headers)[b"content-type"] == b"application/problem+json"
        return check_problem(self.body, self.status, code)


def check_problem(body: bytes, status: int | None, code: str) -> dict[str, Any]:
    """Return a problem that has this status and code, and every member that the contract names."""
    found: dict[str, Any] = orjson.loads(body)
    problems.Problem.model_validate(found, strict=True)
    assert (found["status"], found["code"], found["type"]) == (status, code, f"urn:groundplan:error:{code}")
    assert found["title"]
    assert found["detail"]
    return found


def limits(**changed: object) -> ServerSettings:
    """Return limits of the server with a body limit of `LIMIT` bytes, and what is changed beside it."""
    return settings.server.model_copy(update={"body_limit": LIMIT, **changed})


def make_app(*, seconds: float = 5.0, **changed: object) -> FastAPI:
    """Return an application with the whole stack and the limits that a test wants."""
    app = FastAPI(middleware=stack(limits(body_seconds=seconds, **changed)))
    problems.install(app)
    return app


@asynccontextmanager
async def client(app: ASGIApp) -> AsyncIterator[httpx2.AsyncClient]:
    """Open a client; an exception that leaves the application fails the test."""
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as opened:
        yield opened


async def call(
    app: ASGIApp,
    path: str = "/",
    *,
    method: str = "GET",
    headers: Iterable[tuple[bytes, bytes]] = (),
    query: bytes = b"",
    chunks: Iterable[bytes] = (),
    then: str = "wait",
) -> Reply:
    """Call an application by hand: send the chunks, and then end the body, leave or wait for ever."""
    reply = Reply()
    messages: list[Message] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    if then == "end":
        messages.append({"type": "http.request", "body": b"", "more_body": False})
    elif then == "leave":
        messages.append({"type": "http.disconnect"})

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            reply.status, reply.headers = message["status"], message["headers"]
        else:
            reply.body += message["body"]
            reply.complete = not message.get("more_body", False)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode("utf-8", "replace"),
        "root_path": "",
        "query_string": query,
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
    }
    async with asyncio.timeout(60):
        await app(scope, receive, send)
    return reply
