"""The application's door as bad requests meet it: each must be turned away, and leave no trace."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from app.db.base import Base
from app.db.tenancy import SYSTEM_TENANT_ID
from app.routes import PREFIX
from tests.extensions.support import call as call_app
from tests.extensions.support import check_problem
from tests.support import Caller, Team

JSON = "application/json"
Lines = list[tuple[str, str]]
"""Header lines: they go as they are, doubled ones too."""

CONTENT = "select md5(coalesce(string_agg(one::text, '|' order by one::text), '')) || count(*) from {} as one"
BEHIND = {
    "audit_chain": "the sequencer links entries at its own time",
    "audit_unchained": "and takes them from here",
    "schedule_entries": "the scheduler counts its ticks",
}
"""Tables that change without a request."""
TABLES = {name: name for name in sorted(Base.metadata.tables.keys() - BEHIND)}
TABLES["outbox_entries"] = f"(select * from outbox_entries where tenant_id <> '{SYSTEM_TENANT_ID}')"
TABLES["audit_entries"] = "(select * from audit_entries where action <> 'access.denied')"
"""Refused attempts are kept, and nothing else of what was refused."""
Digests = dict[str, str]
EVERYTHING = " union all ".join(f"select '{name}', ({CONTENT.format(rows)})" for name, rows in TABLES.items())


@dataclass(frozen=True)
class Refusal:
    """The problem that answered, and the headers of the answer."""

    problem: dict[str, Any]
    headers: dict[str, str]

    @property
    def places(self) -> list[list[str]]:
        """Return where the values stood that were refused."""
        return [fault["loc"] for fault in self.problem["errors"]]


@dataclass(frozen=True)
class Door:
    """Sends what must be refused; `people` are a tenant with the owner's `project`, and a stranger with another.

    `own` are the identifiers of one thing of each kind that the owner made, by the path it was made at.
    """

    app: FastAPI
    client: AsyncClient
    people: Team
    project: dict[str, Any]
    foreign: dict[str, Any]
    own: dict[str, str]

    @property
    def path(self) -> str:
        """Return the path of the owner's project."""
        return f"/projects/{self.project['id']}"

    async def refuses(
        self,
        expected: tuple[int, str],
        method: str,
        path: str,
        *,
        caller: Caller | None = None,
        headers: Lines | None = None,
        **rest: Any,
    ) -> Refusal:
        """Send a request, the owner's unless `caller` says otherwise; `headers` take the place of all the caller's."""
        lines = headers if headers is not None else self.signed(caller)
        answer = await self.client.request(method, path, headers=lines, **rest)
        return self.check(expected, answer.content, answer.status_code, dict(answer.headers))

    async def refuses_raw(
        self,
        expected: tuple[int, str],
        method: str,
        path: str,
        *,
        headers: Iterable[tuple[bytes, bytes]] = (),
        sign_in: Lines | None = None,
        query: bytes = b"",
        chunks: Iterable[bytes] = (b"",),
    ) -> Refusal:
        """Send what no client library lets through, past the wire; `headers` follow the owner's sign-in."""
        first = self.signed() if sign_in is None else sign_in
        lines = [*((name.lower().encode(), value.encode()) for name, value in first), *headers]
        reply = await call_app(
            self.app, PREFIX + path, method=method, headers=lines, query=query, chunks=chunks, then="end"
        )
        found = {name.decode(): value.decode() for name, value in reply.headers}
        return self.check(expected, reply.body, reply.status, found)

    def signed(self, caller: Caller | None = None) -> Lines:
        """Return the header lines of a caller who is signed in."""
        return list((caller or self.people.owner).headers.items())

    def check(self, expected: tuple[int, str], body: bytes, status: int | None, headers: dict[str, str]) -> Refusal:
        """Return the refusal, when it is the expected one and a problem as the contract says."""
        said = json.loads(body).get("code") if body else None
        assert (status, said) == expected, body[:2000]
        assert headers["content-type"] == "application/problem+json"
        problem = check_problem(body, *expected)
        assert problem["request_id"] == headers["x-request-id"]
        return Refusal(problem, headers)


async def everything(connection: AsyncConnection) -> Digests:
    """Return, for each table, a digest of its rows and their number, past every policy."""
    rows = (await connection.execute(text(EVERYTHING))).all()
    return {row[0]: row[1] for row in rows}
