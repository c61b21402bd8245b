"""Bodies that pass through piece by piece: none is ever whole in memory, and none holds a connection."""

import re
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from app.core.exceptions import RangeNotSatisfiableError
from app.extensions.bodies import STREAM, StreamedReceive

SINGLE_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class BodyStream:
    """A request's body, bounded in size and time by `server.upload_limit` and `server.upload_seconds`.

    `length` is what the client announced, if it did; `limit` is what it may be. To iterate raises
    `PayloadTooLargeError`, `RequestTimeoutError`, and `ClientDisconnect` for who leaves before the end.
    """

    def __init__(self, receive: StreamedReceive) -> None:
        self.receive = receive
        self.length, self.limit = receive.check_length(), receive.limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the pieces as they come; once."""
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            if body := message.get("body", b""):
                yield body
            more = message.get("more_body", False)


async def body_stream(request: Request) -> BodyStream:
    """Return the body of a request that nobody has read."""
    return BodyStream(request.scope[STREAM])


Streamed = Annotated[BodyStream, Depends(body_stream)]
"""What an operation declares that takes its body piece by piece; see `AccessRoute`."""


class StoredResponse(StreamingResponse):
    """An answer out of a store: its head leaves when the first block is there, or a refusal in its place."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Fetch the first block, then send; no unit of work is open any more."""
        blocks: Any = self.body_iterator
        self.body_iterator = await begun(blocks)
        await super().__call__(scope, receive, send)


async def begun(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Return the same blocks, the first of them fetched already."""
    first = await anext(blocks, b"")

    async def rest() -> AsyncIterator[bytes]:
        yield first
        async for block in blocks:
            yield block

    return rest()


def read_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one behind the last that a Range asks for; None for the whole (RFC 9110, 14.2).

    A header that is none, or asks for several ranges, is ignored; one beyond the file raises
    `RangeNotSatisfiableError`.
    """
    found = SINGLE_RANGE.fullmatch(header)
    first, last = found.groups() if found else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise RangeNotSatisfiableError(headers={"Content-Range": f"bytes */{size}"})
    return start, stop
