"""A thin client: real connections to one server process, each kept for the next request of whoever comes."""

import asyncio
import json
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from app.routes import PREFIX

FRESH = 1.0
"""Seconds for which a silent connection is used again; the server closes it later than that, whatever its settings."""
Lines = list[tuple[str, str]]


class CutError(ConnectionError):
    """The connection ended before the whole answer was there."""


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """Return the body."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Return the code of a problem, "" for what is none."""
        return str(self.json.get("code", "")) if "problem" in self.headers.get("content-type", "") else ""

    @property
    def is_refusal(self) -> bool:
        """Tell whether it is a problem that blames the client, in the form of the contract."""
        if not 400 <= self.status < 500 or self.headers.get("content-type") != "application/problem+json":
            return False
        said = self.json
        return bool(said["status"] == self.status and said["request_id"] == self.headers["x-request-id"])


@dataclass
class Line:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used_at: float = 0.0

    @property
    def is_fresh(self) -> bool:
        """Tell whether it can be used again."""
        return not self.reader.at_eof() and asyncio.get_running_loop().time() - self.used_at < FRESH

    async def read(self) -> Answer:
        """Return the next answer; raise `CutError` when none comes whole."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise CutError from error
        self.used_at = asyncio.get_running_loop().time()
        if headers.get("connection") == "close":
            self.writer.transport.abort()
        return Answer(int(first.split()[1]), headers, body)


@dataclass
class Wire:
    """Calls the server at a port of loopback; whoever calls at the same time has a connection of their own."""

    port: int
    lines: list[Line] = field(default_factory=list)

    async def open(self) -> Line:
        """Return a new connection."""
        return Line(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**20))

    async def call(
        self,
        method: str,
        path: str,
        *,
        token: str | None = None,
        tenant: object = None,
        headers: Lines | None = None,
        body: Any = None,
        content: bytes | None = None,
        params: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request and return its answer; header lines go as they are, doubled ones too."""
        lines = [] if token is None else [("Authorization", f"Bearer {token}")]
        lines += ([] if tenant is None else [("X-Tenant-ID", str(tenant))]) + (headers or [])
        query = "?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in params.items()) if params else ""
        data = content if content is not None else b"" if body is None else json.dumps(body).encode()
        whole = head(method, quote(path, safe="/%-._~") + query, lines, data) + data
        return await self.send(whole)

    async def send(self, whole: bytes) -> Answer:
        """Send bytes and return the answer to them."""
        line = self.lines.pop() if self.lines else None
        while line is not None and not line.is_fresh:
            line.writer.transport.abort()
            line = self.lines.pop() if self.lines else None
        line = line or await self.open()
        try:
            line.writer.write(whole)
            answer = await line.read()
        except BaseException:
            line.writer.transport.abort()
            raise
        if not line.writer.transport.is_closing():
            self.lines.append(line)
        return answer

    def close(self) -> None:
        """Close what is kept."""
        for line in self.lines:
            line.writer.transport.abort()
        self.lines.clear()


def head(method: str, target: str, lines: Lines, data: bytes) -> bytes:
    """Return the head of a request to an operation."""
    given = [f"{method} {PREFIX}{target} HTTP/1.1", "Host: test", *(f"{name}: {value}" for name, value in lines)]
    if data:
        given += [f"Content-Length: {len(data)}"]
        if not any(name.lower() == "content-type" for name, _ in lines):
            given.append("Content-Type: application/json")
    return "\r\n".join([*given, "", ""]).encode("utf-8", "surrogateescape")
