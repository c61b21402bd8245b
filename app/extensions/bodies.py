"""Pure ASGI middleware for bodies: bounded in size and time, and JSON that means one thing.

Both wrap `receive`, so nothing is read before the application asks, and a refusal is raised where it asks.
"""

import asyncio
import codecs
import json
import re
from typing import Any

import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import BadRequestError, PayloadTooLargeError, RequestTimeoutError

STREAM = "groundplan.stream"
"""Where a scope has the `StreamedReceive` of its request, for an operation that takes its body piece by piece."""

_LENGTH = re.compile(rb"[0-9]+")
_MOST_DIGITS = 18
_TEXT = re.compile(rb'"[^"]*"?')
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b'[]{}"'))
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
    `limit`, `RequestTimeoutError` when the body is not complete `seconds` after the first read. `upload` holds both
    bounds of a body that is taken piece by piece; then `seconds` bounds each piece.
    """

    def __init__(self, app: ASGIApp, *, limit: int, seconds: float, upload: tuple[int, float] | None = None) -> None:
        self.app = app
        self.limit = limit
        self.seconds = seconds
        self.upload = upload or (limit, seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with a bounded `receive`."""
        if scope["type"] == "http":
            scope[STREAM] = StreamedReceive(scope, receive, *self.upload, self.seconds)
            receive = BoundedReceive(scope, receive, self.limit, self.seconds)
        await self.app(scope, receive, send)


class BoundedReceive:
    """The `receive` of one request, bounded. Once it has refused, it refuses again whenever it is asked."""

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float) -> None:
        self.scope = scope
        self.receive = receive
        self.limit = limit
        self.seconds = self.patience = seconds
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

    def check_length(self) -> int | None:
        """Refuse by what Content-Length says; return it, or None where there is none."""
        values = header_values(self.scope, b"content-length")
        if not values:
            return None
        if len(values) > 1 or not _LENGTH.fullmatch(values[0]):
            raise BadRequestError("The header Content-Length must be one number.")
        if len(values[0]) > _MOST_DIGITS or int(values[0]) > self.limit:
            raise self.too_large()
        return int(values[0])

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
            detail = f"The request body did not arrive within {self.patience:g} seconds."
            raise RequestTimeoutError(detail, headers=headers) from None


class StreamedReceive(BoundedReceive):
    """The same for a body that is taken piece by piece, past what looks into whole ones.

    The whole has `seconds` to come, each piece `pause`: who sends slowly is served, who stopped is not waited for.
    """

    def __init__(self, scope: Scope, receive: Receive, limit: int, seconds: float, pause: float) -> None:
        super().__init__(scope, receive, limit, seconds)
        self.patience = min(pause, seconds)

    async def receive_until(self, deadline: float) -> Message:
        """Receive, or raise `RequestTimeoutError` at the deadline or after the pause."""
        return await super().receive_until(min(deadline, asyncio.get_running_loop().time() + self.patience))


class JSONTextMiddleware:
    """Refuses JSON bodies that readers understand differently, that cannot be stored, or nest deeper than `depth`."""

    def __init__(self, app: ASGIApp, *, depth: int) -> None:
        self.app = app
        self.depth = depth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with a checking `receive`, if it says that it brings JSON."""
        kinds = header_values(scope, b"content-type") if scope["type"] == "http" else []
        if any(b"json" in kind.lower() for kind in kinds):
            receive = CheckedReceive(receive, self.depth)
        await self.app(scope, receive, send)


class CheckedReceive:
    """The `receive` of one request with JSON: its last piece is handed on only if the whole is good."""

    def __init__(self, receive: Receive, depth: int) -> None:
        self.receive = receive
        self.depth = depth
        self.pieces: list[bytes] = []

    async def __call__(self) -> Message:
        """Return the next message; raise `MalformedJSONError` in place of the last one."""
        message = await self.receive()
        if message["type"] == "http.request":
            self.pieces.append(message.get("body", b""))
            if not message.get("more_body", False):
                check_json(b"".join(self.pieces), self.depth)
        return message


def check_json(body: bytes, depth: int) -> None:
    """Raise `MalformedJSONError` for what Python reads as JSON and others do not, or read otherwise.

    That is: encodings other than UTF-8, a byte order mark, halves of characters (RFC 8259, 8.1 and 8.2), keys that come
    twice (4), NaN and Infinity (6), more than `depth` levels. What is no JSON at all passes: who parses it says where.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise MalformedJSONError("The body is not valid JSON: it must be UTF-8.") from None
    if b"\0" in body or body.startswith(codecs.BOM_UTF8):
        raise MalformedJSONError("The body is not valid JSON: it must be UTF-8, without NUL or byte order mark.")
    if nests_deeper(body, depth):
        raise MalformedJSONError(f"The body nests deeper than {depth} levels.")
    if _HALF_CHARACTER.search(body):
        try:
            orjson.loads(body)
        except orjson.JSONDecodeError:
            raise MalformedJSONError(
                "The body is not valid JSON: an escape stands for half a character (a lone surrogate)."
            ) from None
    try:
        _STRICT.decode(text)
    except json.JSONDecodeError:
        return
    except ValueError:  # a number of thousands of digits
        raise MalformedJSONError from None


def nests_deeper(body: bytes, depth: int) -> bool:
    """Tell whether JSON nests deeper than `depth` levels, or has more unmatched brackets than that.

    Nothing is parsed and nothing recurs: texts are taken out, then the innermost pairs, once for each level, each by a
    pass of a C function: 5 ms for a megabyte of objects, which takes the parser 17.
    """
    if body.count(b"[") + body.count(b"{") <= depth:
        return False
    bare = body.replace(b"\\\\", b"").replace(b'\\"', b"").translate(_ONE_KIND, _NO_BRACKET)
    # Two quotes side by side hold nothing, or part two texts: without them no bracket gets into a text or out of one.
    bare = _TEXT.sub(b"", bare.replace(b'""', b""))
    for _ in range(depth):
        left = bare.replace(b"[]", b"")
        if len(left) == len(bare):  # the rest has no partners: the parser says where
            return left.count(b"[") > depth
        bare = left
    return b"[" in bare


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, whose keys must differ."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedJSONError("The body is not valid JSON: a key comes twice in one object.")
    return found


def _no_constant(_: str) -> None:
    """Refuse NaN and Infinity."""
    raise MalformedJSONError("The body is not valid JSON: there is no NaN and no Infinity in it.")


_STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_constant=_no_constant)
