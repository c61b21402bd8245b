"""Requests as ASGI sees them, told apart by whether anybody asked for the body."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.types import Message

from app.routes import PREFIX

Headers = list[tuple[bytes, bytes]]


@dataclass
class Exchange:
    """One request and what came of it."""

    body: bytes = b"{}"
    reads: int = 0
    sent: list[Message] = field(default_factory=list)

    async def receive(self) -> Message:
        """Hand out the body, and count that somebody wanted it."""
        self.reads += 1
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Message) -> None:
        """Keep what is answered."""
        self.sent.append(message)

    @property
    def status(self) -> int:
        """Return the answer's status."""
        found: int = self.sent[0]["status"]
        return found

    @property
    def code(self) -> str:
        """Return the problem's code."""
        found: str = orjson.loads(b"".join(message.get("body", b"") for message in self.sent))["code"]
        return found

    @property
    def headers(self) -> dict[bytes, bytes]:
        """Return the answer's headers."""
        return dict(self.sent[0]["headers"])


async def ask(app: FastAPI, method: str, path: str, headers: Headers, body: bytes = b"{}") -> Exchange:
    """Send one request straight into the application; header lines go as they are, doubled ones too."""
    exchange = Exchange(body)
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": PREFIX + path,
        "raw_path": (PREFIX + path).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"test"), (b"content-type", b"application/json"), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("test", 80),
        "state": {},
    }
    await app(scope, exchange.receive, exchange.send)
    return exchange
