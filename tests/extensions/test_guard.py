"""What the server bounds before there is a request and after there is an answer, on raw sockets."""

import asyncio
import resource
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn
from fastapi import FastAPI, Request, Response

from app.config import settings
from app.extensions import server
from app.extensions.server import MOST_HEADERS, MOST_PIPELINED, GuardedProtocol, allow_files, capacity, options
from tests.extensions.support import Lines, check_problem, make_app
from tests.extensions.test_server import body_of, exchange, head, until

HEAD = 2048
BULK = 20_000_000
RELEASE = threading.Event()
"""What those who are held wait for."""


def application() -> FastAPI:
    """Return the application under test."""
    app = make_app(seconds=0.5)

    @app.get("/quick")
    async def quick() -> str:
        return "quick"

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.2)
        return "slow"

    @app.get("/held")
    async def held() -> str:
        while not RELEASE.is_set():  # noqa: ASYNC110 - an event of asyncio belongs to the loop of one test
            await asyncio.sleep(0.01)
        return "held"

    @app.get("/bulk")
    async def bulk() -> Response:
        return Response(b"x" * BULK)

    @app.post("/refused")
    async def refused() -> str:
        return "not read"

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    return app


@asynccontextmanager
async def serving(**changed: float) -> AsyncIterator[tuple[int, uvicorn.Server]]:
    """Serve on a free port of loopback with other limits, and stop."""

    class Quick(GuardedProtocol):
        """The protocol with the test's limits."""

        limits = settings.server.model_copy(update={"head_limit": HEAD, "head_seconds": 5.0} | changed)

    config = uvicorn.Config(application(), lifespan="off", **(options(1) | {"http": Quick}))
    running = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(running.serve(sockets=[listening]))
        await until(lambda: running.started)
        try:
            yield listening.getsockname()[1], running
        finally:
            running.should_exit = True
            await task


def refusal(answer: bytes, status: int, code: str) -> None:
    """Check that the server's own refusal came, as a problem, and that it says that it closes."""
    first, _, _ = answer.partition(b"\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status), answer[:500]
    lowered = answer.lower()
    assert b"connection: close" in lowered
    assert b"content-type: application/problem+json" in lowered
    assert b"x-content-type-options: nosniff" in lowered
    problem = check_problem(body_of(answer), status, code)
    assert f"x-request-id: {problem['request_id']}".encode() in lowered


async def test_a_crowd_that_never_ends_its_heads(lines: Lines) -> None:
    """300 connections with half a head are told and closed by the deadline; others are served all the while."""
    async with serving(head_seconds=1.0) as (port, running):
        crowd = [asyncio.create_task(exchange(port, b"GET / HTTP/1.1\r\nHost:")) for _ in range(300)]
        await until(lambda: len(running.server_state.connections) > 100)
        served = await exchange(port, head("GET", "/quick", "Connection: close"))
        assert served.startswith(b"HTTP/1.1 200 ")
        for answer in await asyncio.gather(*crowd):
            refusal(answer, 408, "request_timeout")
        await until(lambda: not running.server_state.connections)


async def test_a_connection_that_says_nothing(lines: Lines) -> None:
    """It is closed without a word."""
    async with serving(head_seconds=0.3) as (port, _):
        assert await exchange(port) == b""
        assert await exchange(port, b"\r\n", b"\r\n", pause=0.1) == b""


async def test_a_refusal_insists_on_https(lines: Lines) -> None:
    """Like every other answer, where the setting asks for it."""
    async with serving(hsts_seconds=60) as (port, _):
        answer = await exchange(port, b"no request\r\n\r\n")
    refusal(answer, 400, "malformed_request")
    assert b"\r\nstrict-transport-security: max-age=60; includeSubDomains\r\n" in answer


async def test_a_refused_client_that_does_not_close(lines: Lines) -> None:
    """It hears once why, and is left after a while, whatever it sends meanwhile."""
    async with serving(head_seconds=0.3) as (port, running):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /quick HTTP/1.1\r\n")
        refusal(await reader.read(), 408, "request_timeout")
        assert running.server_state.connections
        while running.server_state.connections:
            writer.write(b"X: y\r\n")
            await asyncio.sleep(0.05)
        writer.close()
    assert lines.one(event="connection_refused")["address"] == "127.0.0.1"


@pytest.mark.parametrize("before", [b"", head("GET", "/quick")], ids=["first", "kept_alive"])
async def test_a_head_byte_by_byte(lines: Lines, before: bytes) -> None:
    """A byte now and then does not put the deadline off, on a connection that was served before neither."""
    async with serving(head_seconds=0.3) as (port, _):
        start = asyncio.get_running_loop().time()
        drip = [bytes([byte]) for byte in head("GET", "/quick")[:6]]
        answer = await exchange(port, before, *drip, pause=0.05)
        assert asyncio.get_running_loop().time() - start < 2
    refusal(answer[answer.rindex(b"HTTP/1.1 ") :], 408, "request_timeout")


async def test_a_body_byte_by_byte(lines: Lines) -> None:
    """A body that was refused unread is not read for ever, and one that is read has the body's own deadline."""
    async with serving(head_seconds=0.3) as (port, running):
        start = head("POST", "/refused", "Content-Length: 1000")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(start)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        while running.server_state.connections:
            writer.write(b"x")
            await asyncio.sleep(0.05)
        writer.close()
        answer = await exchange(port, head("POST", "/read", "Content-Length: 9"), b"x", b"x", pause=0.1)
        assert answer.startswith(b"HTTP/1.1 408 ")


TOO_LARGE = {
    "header": head("GET", "/quick", "X: " + "x" * HEAD),
    "address": head("GET", "/quick?" + "x" * HEAD),
    "many": head("GET", "/quick", *["X: y"] * MOST_HEADERS),
    "ten_thousand": head("GET", "/quick", *["X: y"] * 10_000),
    "never_ending": b"GET /quick HTTP/1.1\r\nHost: test\r\nX: " + b"x" * 10_000_000,
    "trailers": head("POST", "/read", "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n" + b"X: y\r\n" * 10_000,
    "extension": head("POST", "/read", "Transfer-Encoding: chunked") + b"1;" + b"x" * 1_000_000,
}


@pytest.mark.parametrize("case", TOO_LARGE)
async def test_a_head_that_is_too_large(lines: Lines, case: str) -> None:
    """It is refused as soon as it is, and the sender can read why."""
    async with serving() as (port, running):
        refusal(await exchange(port, TOO_LARGE[case]), 431, "head_too_large")
        await until(lambda: not running.server_state.connections)
    assert [line for line in lines.all() if line["level"] in {"warning", "error"}] == []


async def test_a_head_at_the_limit(lines: Lines) -> None:
    """A head of nearly all bytes, and of all headers that are allowed, is served, however often."""
    large = head("GET", "/quick", "X: " + "x" * (HEAD - 100))
    many = head("GET", "/quick", *["X: y"] * (MOST_HEADERS - 1))
    async with serving() as (port, _):
        for whole in (large, many):
            answer = await exchange(port, whole, whole, head("GET", "/quick", "Connection: close"))
            assert answer.count(b"HTTP/1.1 200 ") == 3


MALFORMED = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03garbage\r\n\r\n",
    "method": b"FETCH / HTTP/1.1\r\nHost: test\r\n\r\n",
    "version": b"GET / HTTP/9.9\r\nHost: test\r\n\r\n",
    "lengths": head("POST", "/read", "Content-Length: 1", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "lengths_turned": head("POST", "/read", "Transfer-Encoding: chunked", "Content-Length: 1") + b"0\r\n\r\n",
    "two_lengths": head("POST", "/read", "Content-Length: 1", "Content-Length: 2") + b"x",
    "not_chunked_last": head("POST", "/read", "Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "folded": head("GET", "/quick", "X: y", " folded"),
    "nul": head("GET", "/quick", "X: a\0b"),
    "no_path": b"CONNECT example.com:443 HTTP/1.1\r\nHost: test\r\n\r\n",
    "chunk": head("POST", "/read", "Transfer-Encoding: chunked") + b"zz\r\n",
}


@pytest.mark.parametrize("case", MALFORMED)
async def test_what_is_no_request(lines: Lines, case: str) -> None:
    """It is refused with a problem, and what stands behind it is not taken for a request."""
    async with serving() as (port, _):
        answer = await exchange(port, MALFORMED[case] + head("GET", "/quick"))
    assert answer.count(b"HTTP/1.1 ") == 1
    refusal(answer, 400, "malformed_request")


async def test_old_clients_and_upgrades(lines: Lines) -> None:
    """HTTP/1.0 is answered and closed; an offer to speak something else is passed over, without a word in the log."""
    async with serving() as (port, _):
        old = await exchange(port, b"GET /quick HTTP/1.0\r\n\r\n")
        offer = head("GET", "/quick", "Connection: Upgrade, close", "Upgrade: websocket")
        assert old.startswith(b"HTTP/1.1 200 ")
        assert (await exchange(port, offer)).startswith(b"HTTP/1.1 200 ")
    assert [line for line in lines.all() if line["level"] in {"warning", "error"}] == []


async def test_requests_in_a_row(lines: Lines) -> None:
    """A few at once are answered in their order; whole ones also before garbage; too many are cut off."""
    some = head("GET", "/slow") + head("GET", "/quick")
    async with serving() as (port, _):
        answer = await exchange(port, some + head("GET", "/quick", "Connection: close"))
        assert answer.count(b"HTTP/1.1 200 ") == 3
        assert answer.index(b'"slow"') < answer.index(b'"quick"')
        answer = await exchange(port, some + b"garbage\r\n\r\n")
        assert answer.count(b"HTTP/1.1 200 ") == answer.count(b"HTTP/1.1 ") == 2
        answer = await exchange(port, head("GET", "/quick") * 1000)
        assert answer.count(b"HTTP/1.1 ") == answer.count(b"HTTP/1.1 200 ") == MOST_PIPELINED + 1
    async with serving(head_seconds=0.3) as (port, _):
        answer = await exchange(port, some + b"GET /unfinished")
        assert answer.count(b"HTTP/1.1 200 ") == 2
        refusal(answer[answer.rindex(b"HTTP/1.1 ") :], 408, "request_timeout")


async def test_a_client_that_never_reads(lines: Lines) -> None:
    """What waits for it is held for a while, and then it is cut off; one that reads gets all."""
    async with serving(send_seconds=0.5) as (port, running):
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.sendall(head("GET", "/bulk"))
            await until(lambda: running.server_state.connections)
            await until(lambda: not running.server_state.connections)
        answer = await exchange(port, head("GET", "/bulk", "Connection: close"))
        assert len(body_of(answer)) == BULK


async def test_more_connections_than_there_is_room_for(lines: Lines) -> None:
    """The one that waited longest goes; where all are at work, the newest is told so."""
    RELEASE.clear()
    async with serving(connections=3, head_seconds=30.0) as (port, running):
        first = asyncio.create_task(exchange(port))
        await until(lambda: len(running.server_state.connections) == 1)
        working = [asyncio.create_task(exchange(port, head("GET", "/held", "Connection: close"))) for _ in range(3)]
        assert await first == b""
        await until(lambda: len(running.server_state.tasks) == 3)
        refusal(await exchange(port), 503, "unavailable")
        RELEASE.set()
        for answer in await asyncio.gather(*working):
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_no_more_connections_than_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many files as the connections need are allowed, where the system lets us; else there are fewer connections."""
    allowed = [1024, 4096]
    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(allowed))
    monkeypatch.setattr(resource, "setrlimit", lambda _, pair: allowed.__setitem__(slice(None), pair))
    server.capacity.cache_clear()
    allow_files(500)
    assert allowed == [1024, 4096]
    allow_files(2000)
    assert allowed == [2100, 4096]
    assert capacity(2000) == 2000
    allow_files(10_000)
    assert (allowed, capacity(10_000)) == ([4096, 4096], 3996)
    server.capacity.cache_clear()
