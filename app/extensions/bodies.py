"""Pure ASGI middleware for bodies: bounded in size and time, and JSON whose text can be stored.

Both wrap `receive`, so nothing is read before the application asks, and a refusal is raised where it asks.
"""

import asyncio
import re

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import BadRequestError, PayloadTooLargeError, RequestTimeoutError

_LENGTH = re.compile(rb"[0-9]+")
_MOST_DIGITS = 18
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")


class MalformedJSONError(BadRequestError):
    """The body is not valid JSON."""

    code, title = "malformed_json", "Malformed JSON"


def header_values(scope: Scope, name: bytes) -> list[bytes]:
    """Return all values of a header; ASGI has its names in lower case."""
    return [value for key, value in scope["headers"] if key == name]


class BodyLimitMiddleware:
    """Bounds the body in size and in time; nothing is read before the application asks for it.

    The errors are raised inside the application's `receive`, where a refusal has its place: `BadRequestError`
    for a malformed or doubled Content-Length, `PayloadTooLargeError` as soon as the length or the bytes pass
    `limit`, `RequestTimeoutError` when the body is not complete `seconds` after the first read.
    """

    def __init__(self, app: ASGIApp, *, limit: int, seconds: float) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with a bounded `receive`."""
        if scope["type"] == "http":
            receive = BoundedReceive(scope, receive, self.limit, self.seconds)
        await self.app(scope, receive, send)


class BoundedReceive:
    """The `receive` of one request, bounded. Once it has refused, it refuses again whenever it is asked."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        self.scope = scope
        self.receive = receive
        self.limit = limit
        self.seconds = seconds
        self.size = 0
        self.deadline: float | None = None
        self.complete = False

    async def __call__(self) -> Message:
        """Return the next message; behind the body's end, wait without a limit for the client to leave."""
        if self.complete:
            return await self.receive()
        if self.deadline is None:
            self.check_length()
            self.deadline = asyncio.get_running_loop().time() + self.seconds
        message = await self.receive_until(self.deadline)
        self.size += len(message.get("body", b""))
        if self.size > self.limit:
            raise self.too_large()
        self.complete = not message.get("more_body", False)
        return message

    def check_length(self) -> None:
        """Refuse by what Content-Length says."""
        values = header_values(self.scope, b"content-length")
        if not values:
            return
        if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
            raise BadRequestError("The header Content-Length must be one number.")
        if len(values[0]) > _MOST_DIGITS or int(values[0]) > self.limit:
            raise self.too_large()

    def too_large(self) -> PayloadTooLargeError:
        """Return the refusal of a body over the limit."""
        return PayloadTooLargeError(f"The request body is larger than {self.limit} bytes.")

    async def receive_until(self, deadline: float) -> Message:
        """Receive, or raise `RequestTimeoutError` at the deadline."""
        waiting = asyncio.timeout_at(deadline)
        try:
            async with waiting:
                return await self.receive()
        except TimeoutError:
            if not waiting.expired():
                raise
            # The rest of the body may never come: without this the server would go on waiting for it.
            headers = {"Connection": "close"} if self.scope.get("http_version", "").startswith("1") else {}
            detail = f"The request body did not arrive within {self.seconds:g} seconds."
            raise RequestTimeoutError(detail, headers=headers) from None


class JSONTextMiddleware:
    """Refuses JSON bodies that are not UTF-8, or hold half a character (`check_json_text`)."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with a checking `receive`, if it says that it brings JSON."""
        kinds = header_values(scope, b"content-type") if scope["type"] == "http" else []
        if any(b"json" in kind.lower() for kind in kinds):
            receive = CheckedReceive(receive)
        await self.app(scope, receive, send)


class CheckedReceive:
    """The `receive` of one request with JSON: its last piece is handed on only if the whole is good."""

    def __init__(self, receive: Receive) -> None:
        self.receive = receive
        self.pieces: list[bytes] = []

    async def __call__(self) -> Message:
        """Return the next message; raise `MalformedJSONError` in place of the last one."""
        message = await self.receive()
        if message["type"] == "http.request":
            self.pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                check_json_text(b"".join(self.pieces))
        return message


def check_json_text(body: bytes) -> None:
    """Raise `MalformedJSONError` for text that Python reads, and that nobody can encode again.

    Python's reader accepts other encodings than UTF-8, surrogates as bytes, and escapes of half a surrogate
    pair (RFC 8259, 8.1 and 8.2). The text they become fails later, in the database or in the answer.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise MalformedJSONError("The body is not valid JSON: it must be UTF-8.") from None
    if b"\0" in body:
        raise MalformedJSONError("The body is not valid JSON: it must be UTF-8, without NUL.")
    if _HALF_CHARACTER.search(body):
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            raise MalformedJSONError(
                "The body is not valid JSON: an escape stands for half a character (a lone surrogate)."
            ) from None
