"""Pure ASGI middleware around every request: its id, its line in the log, the net for errors.

`stack` puts them in order. None is a `BaseHTTPMiddleware` of Starlette: that one costs 190 us a request.
"""

import asyncio
import re
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import uuid4

from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.extensions import problems
from app.extensions.addresses import ClientAddressMiddleware
from app.extensions.bodies import BodyLimitMiddleware, JSONTextMiddleware, header_values
from app.extensions.frame import AllowedHosts, CrossOrigin, SecurityHeaders
from app.extensions.logs import fresh, get_logger
from app.extensions.ratelimit import AddressLimitMiddleware
from app.sections import ServerSettings

LONGEST_PATH = 200
PATIENCE = 0.1
"""Seconds after which the tracker asks whether the client still waits; asking costs 10 us."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ANSWER_HEADS = frozenset({"http.response.start", "websocket.accept", "websocket.http.response.start"})

log = get_logger(__name__)


def stack(server: ServerSettings, *, address_rate: str = "") -> list[Middleware]:
    """Return the middleware for `FastAPI(middleware=...)`, outermost first."""
    origins, hosts = server.cors_origins, server.allowed_hosts
    return [
        Middleware(SecurityHeaders, hsts_seconds=server.hsts_seconds),
        Middleware(ClientAddressMiddleware, trusted=server.trusted_proxies),
        Middleware(RequestIdMiddleware),
        Middleware(RequestTracker),
        *([Middleware(CrossOrigin, origins=origins)] if origins else []),
        Middleware(ErrorBoundary),
        *([Middleware(AllowedHosts, hosts=hosts)] if hosts else []),
        Middleware(AddressLimitMiddleware, rate=address_rate),
        Middleware(
            BodyLimitMiddleware,
            limit=server.body_limit,
            seconds=server.body_seconds,
            upload=(server.upload_limit, server.upload_seconds),
        ),
        Middleware(JSONTextMiddleware, depth=server.json_depth),
    ]


class RequestIdMiddleware:
    """Gives every request an id: the client's `X-Request-ID` if it is one and harmless, else a new one.

    It stands in `request.state.request_id`, in every log line of the request, and in the answer's header.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request under its id."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = _given_id(scope) or uuid4().hex
        # A dict of the request's own: some servers hand all requests the same one.
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        header = (b"x-request-id", request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] in _ANSWER_HEADS:
                others = [pair for pair in message.get("headers", ()) if pair[0].lower() != header[0]]
                message = {**message, "headers": [*others, header]}
            await send(message)

        with fresh(request_id=request_id):
            await self.app(scope, receive, send_with_id)


def _given_id(scope: Scope) -> str | None:
    """Return the id that the client chose, if it is acceptable."""
    values = header_values(scope, b"x-request-id")
    text = values[0].decode("latin-1") if len(values) == 1 else ""
    return text if _REQUEST_ID.fullmatch(text) else None


@dataclass(slots=True)
class Exchange:
    """What the tracker sees of one request and its answer."""

    receive: Receive
    send: Send
    root_path: str
    started: float = field(default_factory=perf_counter)
    status: int | None = None
    sent: int = 0
    read: bool = False
    complete: bool = False
    gone: bool = False

    async def receive_seen(self) -> Message:
        """Receive, and remember whether the body has ended or the client has left."""
        if self.gone:
            return {"type": "http.disconnect"}
        message = await self.receive()
        if message["type"] == "http.request":
            self.read = not message.get("more_body", False)
        elif not self.complete:
            # After the last byte every server reports a disconnect; before it, the client did it.
            self.gone = True
        return message

    async def send_seen(self, message: Message) -> None:
        """Send, and remember status and size."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self.ask()
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        try:
            await self.send(message)
        except OSError:
            self.gone = True
            raise

    async def ask(self) -> None:
        """Find out whether the client has left: a view that reads nothing more is told nothing."""
        if self.gone or not self.read or perf_counter() - self.started < PATIENCE:
            return
        try:
            async with asyncio.timeout(0):
                await self.receive_seen()
        except TimeoutError:
            return

    def log(self, scope: Scope) -> None:
        """Write the line of the request."""
        state: dict[str, Any] = scope.get("state", {})
        caller = state.get("caller")
        values: dict[str, object] = {
            "method": scope["method"][:16],
            **_target(scope, self.root_path),
            "status": self.status,
            "duration_ms": round((perf_counter() - self.started) * 1000, 1),
            "bytes": self.sent,
            "client_gone": self.gone,
            "address": client[0] if (client := scope.get("client")) else None,
        }
        if caller is not None:
            values["tenant_id"] = getattr(caller, "tenant_id", None)
            values["actor_id"] = getattr(caller, "actor_id", None)
        if "replayed" in state:
            values["replayed"] = True
        if "error_code" in state:
            values["code"] = state["error_code"]
        log.info("request", **values)


class RequestTracker:
    """Logs one line a request: what was asked, by whom, what was answered and how long it took.

    The route appears as its template, so that lines group; the path itself only where no route matched.
    Tenant and actor are read from `request.state.caller`, which the route class sets once it knows them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, then log it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(receive, send, scope.get("root_path", ""))
        try:
            await self.app(scope, exchange.receive_seen, exchange.send_seen)
        finally:
            exchange.log(scope)


def _target(scope: Scope, root_path: str) -> dict[str, object]:
    """Return the template of the route that was taken, or the path when there was none.

    An included router's route knows its own part of the template only; FastAPI's effective context has the
    whole one. A mount grows `root_path` by its own place.
    """
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    template = None if isinstance(route, Mount) else getattr(route, "path_format", None)
    mount = scope.get("root_path", "").removeprefix(root_path)
    if not template and not mount:
        return {"path": scope["path"][:LONGEST_PATH]}
    return {"route": mount + (template or "/{path}")}


class ErrorBoundary:
    """Answers what no handler did, so that no exception leaves the application.

    Starlette's own net answers and raises again, and the server logs a second stack. Here the answer is sent
    when none has begun; one that has begun is left without its end, which makes the server cut the
    connection: the client must not take half an answer for a whole one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, and answer what it raises."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = begun or message["type"] == "http.response.start"
            try:
                await send(message)
            except OSError as error:  # so servers say that nobody is there (ASGI 2.4)
                raise ClientDisconnect from error

        # A client that leaves is told of in the tracker's line; nothing is wrong here.
        with suppress(ClientDisconnect):
            try:
                await self.app(scope, receive, send_noted)
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - the outermost one: it answers and logs all of them
                response = problems.answer(scope, error)
                if not begun:
                    await response(scope, receive, send_noted)
