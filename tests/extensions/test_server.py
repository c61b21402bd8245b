"""The same against a real server: slow bodies, clients that leave, stacks that are logged once."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from tests.extensions.support import LIMIT, Lines, check_problem, make_app


class Note(BaseModel):
    """A body that FastAPI reads itself."""

    text: str


def application() -> FastAPI:
    """Return the application under test."""
    app = make_app(seconds=0.3)

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.post("/model")
    async def model(note: Note) -> int:
        return len(note.text)

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("SELECT inside")

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("broke")

        return StreamingResponse(pieces())

    @app.post("/slow")
    async def slow(request: Request) -> str:
        await request.body()
        await asyncio.sleep(0.5)
        return "done"

    return app


@asynccontextmanager
async def served(http: Literal["httptools", "h11"]) -> AsyncIterator[int]:
    """Serve on a free port of loopback, and stop."""
    config = uvicorn.Config(application(), log_config=None, lifespan="off", http=http)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        task = asyncio.create_task(server.serve(sockets=[listening]))
        await until(lambda: server.started)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await task


@pytest.fixture(params=["httptools", "h11"])
async def port(request: pytest.FixtureRequest, lines: Lines) -> AsyncIterator[int]:
    """Serve under each of uvicorn's parsers."""
    async with served(request.param) as number:
        yield number


async def exchange(port: int, *pieces: bytes, pause: float = 0.0) -> bytes:
    """Send bytes, and return all that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        async with asyncio.timeout(30):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def leave(port: int, *pieces: bytes) -> None:
    """Send bytes, and go without reading."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(pieces))
    await writer.drain()
    await asyncio.sleep(0.05)
    writer.transport.abort()


async def until(condition: Callable[[], object]) -> None:
    """Wait until something is so that nobody tells us of."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.01)


def head(method: str, path: str, *headers: str) -> bytes:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: test", *headers, "", ""]).encode()


def body_of(answer: bytes) -> bytes:
    """Return the body of an answer with a Content-Length."""
    return answer.split(b"\r\n\r\n", 1)[1]


async def test_bug(port: int, lines: Lines) -> None:
    """A bug is a problem for the client and one stack in the log; the server adds none."""
    answer = await exchange(port, head("GET", "/bug", "X-Request-ID: r-1", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert check_problem(body_of(answer), 500, "internal_error")["request_id"] == "r-1"
    assert b"SELECT" not in answer
    assert lines.one(level="error")["event"] == "unhandled_error"
    assert len([line for line in lines.all() if "exception" in line]) == 1
    assert lines.all(logger="uvicorn.access") == []


async def test_half_an_answer(port: int, lines: Lines) -> None:
    """An answer that breaks off ends without its last chunk: no client takes it for whole."""
    answer = await exchange(port, head("GET", "/half"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"half" in answer
    assert not answer.endswith(b"0\r\n\r\n")
    assert len([line for line in lines.all() if "exception" in line]) == 1


@pytest.mark.parametrize("path", ["/read", "/model"])
async def test_slow_body(port: int, lines: Lines, path: str) -> None:
    """A body that trickles is refused at its deadline, and the connection is closed."""
    start = head("POST", path, "Content-Type: application/json", "Content-Length: 50")
    answer = await exchange(port, start, b"{", b" ", b" ", pause=0.05)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    check_problem(body_of(answer), 408, "request_timeout")
    assert lines.all(level="error") == []


@pytest.mark.parametrize("path", ["/read", "/model"])
async def test_large_bodies(port: int, lines: Lines, path: str) -> None:
    """Bodies over the limit are refused, with and without Content-Length, though they are sent whole."""
    large = b"x" * (LIMIT * 1000)
    kind = ("Content-Type: application/json", "Connection: close")
    declared = await exchange(port, head("POST", path, f"Content-Length: {len(large)}", *kind) + large)
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(large), large)
    chunked = await exchange(port, head("POST", path, "Transfer-Encoding: chunked", *kind) + chunk)
    for answer in (declared, chunked):
        assert answer.startswith(b"HTTP/1.1 413 ")
        check_problem(body_of(answer), 413, "payload_too_large")
    assert lines.all(level="error") == []


@pytest.mark.parametrize("path", ["/read", "/model"])
async def test_client_that_leaves_in_the_body(port: int, lines: Lines, path: str) -> None:
    """A client that leaves in the middle of its body is noted and is no error."""
    await leave(port, head("POST", path, "Content-Type: application/json", "Content-Length: 50"), b"{")
    await until(lambda: lines.all(event="request"))
    line = lines.one(event="request")
    assert (line["client_gone"], line["status"], line["level"]) == (True, None, "info")
    assert [line for line in lines.all() if line["level"] in {"warning", "error"}] == []


async def test_client_that_leaves_while_the_view_works(port: int, lines: Lines) -> None:
    """A client that does not wait for the answer is noted."""
    await leave(port, head("POST", "/slow", "Content-Length: 1"), b"x")
    await until(lambda: lines.all(event="request"))
    assert lines.one(event="request")["client_gone"] is True
    assert lines.all(level="error") == []


async def test_one_connection_many_requests(port: int, lines: Lines) -> None:
    """Requests on one connection have ids and lines of their own."""
    requests = [head("POST", "/read", "Content-Length: 1") + b"x" for _ in range(2)]
    last = head("GET", "/nothing", "Connection: close")
    answer = await exchange(port, *requests, last, pause=0.05)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.count(b"HTTP/1.1 404 ") == 1
    ids = [line["request_id"] for line in lines.all(event="request")]
    assert len(set(ids)) == 3
    assert all(number.encode() in answer for number in ids)
