"""The server's own frame: what uvicorn leaves open before there is a request, and after there is an answer.

A connection has `server.head_seconds` for the head of a request, a head has `server.head_limit` bytes, what waits to be
read by a client is taken within `server.send_seconds`, and a process keeps `server.connections` of them. What is
refused here is a problem document, too.
"""

import asyncio
import resource
from functools import cache
from typing import Any, ClassVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from app.config import settings
from app.exceptions import AppError, BadRequestError, RequestTimeoutError, UnavailableError
from app.extensions.frame import headers_of
from app.extensions.logs import get_logger
from app.extensions.problems import problem_response
from app.sections import ServerSettings

MOST_HEADERS = 100
MOST_PIPELINED = 16
"""Requests that may wait on a connection behind the one that is answered."""
LEAST_READ = 65_536
"""Bytes that a client must take within `server.send_seconds`, where so many wait."""
SPARE_FILES = 100
"""Open files that are kept for the database, the logs and the standard library."""
LOOK = 1.0
"""Seconds between two looks at a connection: nothing is closed later than that after its time."""
LINGER = 1.0
"""Seconds that a refused client has to read why and to close."""

log = get_logger(__name__)


class MalformedRequestError(BadRequestError):
    """The request is not well-formed HTTP."""

    code, title = "malformed_request", "Malformed request"


class HeadTooLargeError(AppError):
    """The line and the headers of the request are too large, or too many."""

    status, code, title = 431, "head_too_large", "Request header fields too large"


class HeadTimeoutError(RequestTimeoutError):
    """The line and the headers of the request did not arrive in time."""


class CrowdedError(UnavailableError):
    """All connections are busy. Try again in a moment."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection, bounded. uvicorn parses, answers and keeps alive; this only counts, waits and refuses."""

    limits: ClassVar[ServerSettings] = settings.server
    waiting: ClassVar["WeakKeyDictionary[ServerState, dict[GuardedProtocol, None]]"] = WeakKeyDictionary()
    """For each server, the connections that have no request under way, the longest waiting first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.idle = self.waiting.setdefault(self.server_state, {})
        self.refusal: AppError | None = None
        self.refused = self.lost = False
        self.head_since: float | None = None
        self.unread: tuple[float, int] | None = None
        self.in_head = False
        self.head_size = self.header_count = self.events = self.unseen = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; where there are too many connections, close the one that waited longest."""
        super().connection_made(transport)
        self.head_since = self.loop.time()
        self.loop.call_later(self.interval, self.look)
        if len(self.connections) > capacity(self.limits.connections):
            if not self.idle:
                self.refuse(CrowdedError())
                return
            next(iter(self.idle)).leave()
        self.idle[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self.lost = True
        self.idle.pop(self, None)
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close a connection that waits."""
        self.idle.pop(self, None)
        self.transport.close()

    @property
    def interval(self) -> float:
        """Seconds to the next look."""
        return min(LOOK, self.limits.head_seconds / 2, self.limits.send_seconds / 2)

    @property
    def answering(self) -> bool:
        """Whether a request has its head, and not yet its whole answer."""
        return not getattr(self.cycle, "response_complete", True)

    # What arrives

    def data_received(self, data: bytes) -> None:
        """Parse what has come; refuse what is malformed, or larger than it may be."""
        if self.refused:
            return
        self._unset_keepalive_if_required()
        before = self.events
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # no other protocol is spoken here: the request itself was answered
        except httptools.HttpParserError:
            self.refuse(self.refusal or MalformedRequestError())
            return
        # A header that never ends is kept by the parser, which says nothing of it.
        self.unseen = self.unseen + len(data) if self.events == before else 0
        if self.unseen > self.limits.head_limit:
            self.refuse(HeadTooLargeError())
        elif self.head_since is None and not self.answering:
            self.head_since = self.loop.time()  # bytes of a request that was answered before it was read

    def on_message_begin(self) -> None:
        """Begin to count."""
        super().on_message_begin()
        self.events += 1
        self.in_head, self.head_since = True, self.loop.time()
        self.head_size = self.header_count = 0

    def on_url(self, url: bytes) -> None:
        """Count the bytes of the address."""
        self.count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header; those behind a chunked body, too."""
        self.header_count += 1
        self.count(len(name) + len(value) + len(b": \r\n"))
        super().on_header(name, value)

    def count(self, size: int) -> None:
        """Add to the head; stop the parser when it is too large."""
        self.events += 1
        self.head_size += size
        if self.head_size > self.limits.head_limit or self.header_count > MOST_HEADERS:
            self.refusal = HeadTooLargeError()
            raise self.refusal

    def on_headers_complete(self) -> None:
        """Serve the request, unless too many wait already."""
        self.events += 1
        if len(self.pipeline) >= MOST_PIPELINED:
            raise MalformedRequestError
        self.in_head, self.head_since = False, None
        self.idle.pop(self, None)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a piece of the body."""
        self.events += 1
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Hand on the end of the body."""
        self.events += 1
        super().on_message_complete()

    # What leaves

    def on_response_complete(self) -> None:
        """Wait for the next request, unless it is there."""
        super().on_response_complete()
        if not self.answering and not self.transport.is_closing():
            self.idle[self] = None

    def resume_writing(self) -> None:
        """Note that the client has taken something."""
        self.unread = None
        super().resume_writing()

    def look(self) -> None:
        """Close the connection when something has taken too long, else look again later."""
        if self.lost:
            return
        now = self.loop.time()
        if self.is_stuck(now):
            self.transport.abort()
            return
        if self.is_late(now):
            self.refuse(HeadTimeoutError()) if self.in_head else self.leave()
        self.loop.call_later(self.interval, self.look)

    def is_stuck(self, now: float) -> bool:
        """Tell whether the client takes too little of what waits for it."""
        size = self.transport.get_write_buffer_size()
        if not size:
            self.unread = None
            return False
        if self.unread is None or size <= self.unread[1] - LEAST_READ:
            self.unread = (now, size)
        return now - self.unread[0] >= self.limits.send_seconds

    def is_late(self, now: float) -> bool:
        """Tell whether the next head has taken too long; while an answer is under way it may."""
        if self.head_since is None or self.answering or self.refused or self.transport.is_closing():
            return False
        return now - self.head_since >= self.limits.head_seconds

    def refuse(self, error: AppError) -> None:
        """Answer with a problem and close; requests that came whole before it are answered first."""
        self.refused = True
        self.idle.pop(self, None)
        if self.transport.is_closing():
            return
        if self.answering and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return
        if self.pipeline or (self.answering and self.cycle.response_started) or not self.transport.can_write_eof():
            self.transport.close()
            return
        # Closed at once, with bytes unread, the connection would be reset, and the answer lost on its way.
        self.transport.write(self.rendered(error))
        self.transport.write_eof()
        self.loop.call_later(LINGER, self.transport.close)

    def rendered(self, error: AppError) -> bytes:
        """Return the whole answer for a refusal, and log it."""
        request_id, peer = uuid4().hex, self.client[0] if self.client else None
        answer = problem_response({"type": "http", "path": "", "state": {"request_id": request_id}}, error)
        log.info("connection_refused", code=error.code, status=error.status, request_id=request_id, address=peer)
        own = ((b"x-request-id", request_id.encode()), (b"connection", b"close"))
        framed = headers_of(self.limits.hsts_seconds)
        pairs = (*self.server_state.default_headers, *answer.raw_headers, *own, *framed)
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in pairs)
        return STATUS_LINE[error.status] + lines + b"\r\n" + bytes(answer.body)


def options(drain: int) -> dict[str, Any]:
    """Return how uvicorn is to be run; `drain` seconds are left for the requests under way when it is told to stop."""
    return {
        "http": GuardedProtocol,
        "ws": "none",
        "access_log": False,
        "proxy_headers": False,  # ours asks server.trusted_proxies
        "log_config": None,
        "server_header": False,
        "timeout_graceful_shutdown": drain,
    }


def allow_files(connections: int) -> None:
    """Let this process, and those it starts, open as many files as the connections need, if the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


@cache
def capacity(connections: int) -> int:
    """Return how many connections this process can keep: those, or what its limit of open files leaves."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return connections if soft == resource.RLIM_INFINITY else max(1, min(connections, soft - SPARE_FILES))
