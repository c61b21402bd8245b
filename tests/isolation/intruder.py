"""Somebody who calls one operation of the document in every way that could show or change another tenant's rows."""

import itertools
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

from httpx2 import Response

from tests.examples import Examples, Operation
from tests.isolation.lanes import Lane, Rows
from tests.isolation.rivals import UUID, Rival, create_each
from tests.support import Caller, register

Query = dict[str, Any]

MOST_PAGES = 20
MOST_PAIRS = 60
FEW = 6
"""How many values of a parameter meet those of another one."""


async def leaks_of(operation: Operation, lane: Lane, rival: Rival) -> list[str]:
    """Return in words what a new tenant's owner sees or changes of the rival's, and each answer but the planned ones.

    Nothing in here knows an operation by name: what it sends comes from the document and from the rival's rows.
    """
    me = await register(lane.client, "An Intruder")
    intruder = Intruder(lane, rival, operation, me, Examples(operation.components, "an intruder's", rival.baits))
    found = [leak async for leak in intruder.attempts()]
    rows = await lane.rows(rival.owner.tenant_id)
    changed = [f"changed {table}" for table in rows if rows[table] != rival.rows.get(table)]
    return [f"{operation}: {leak}" for leak in (*found, *changed)]


@dataclass(frozen=True)
class Intruder:
    """The owner of a tenant of their own, and the operation they try on the rival's."""

    lane: Lane
    rival: Rival
    operation: Operation
    me: Caller
    examples: Examples

    async def attempts(self) -> AsyncIterator[str]:
        """Yield the leaks of every way to call that the operation has."""
        async for leak in self.reads() if self.operation.is_read else self.writes():
            yield leak
        if self.operation.needs_tenant:
            async for leak in self.calls_with_foreign_header():
                yield leak
        if self.object_names:
            async for leak in self.calls_with_foreign_ids():
                yield leak

    @property
    def object_names(self) -> list[str]:
        """Return the path's parameters that name an object."""
        return [name for name, schema in self.operation.named("path").items() if schema.get("format") == "uuid"]

    async def reads(self) -> AsyncIterator[str]:
        """Read with every value that a query accepts, lists with pairs: nothing of the rival is in any answer."""
        request = self.operation.request(self.examples)
        answer = await self.me.call(**request)
        if not answer.is_success and not self.operation.named("path"):
            yield f"answered {answer.status_code} to somebody who may, which proves nothing"
        values = await self.query_values()
        queries = [*singles(values)]
        if "cursor" in values:
            queries += pairs({name: await self.telling(request, name, choices) for name, choices in values.items()})
        for query in queries:
            async for leak in self.read_pages(request, query):
                yield leak

    async def telling(self, request: dict[str, Any], name: str, choices: list[Any]) -> list[Any]:
        """Return of many values a few by which the rival finds something of their own, and one that finds nothing.

        By most identifiers nobody finds anything, with or without a second value; those that a list knows are of a
        kind.
        """
        if len(choices) <= FEW:
            return choices
        found: list[Any] = []
        other: list[Any] = []
        for choice in choices:
            asked = {**request, "params": {**request["params"], name: choice}}
            answer = await self.rival.owner.call(**asked)
            (found if answer.is_success and answer.json()["items"] else other).append(choice)
            if len(found) == FEW:
                break
        return found + other[:1]

    async def read_pages(self, request: dict[str, Any], query: Query) -> AsyncIterator[str]:
        """Read a list to its end."""
        for _ in range(MOST_PAGES):
            asked = {**request, "params": {**request["params"], **query}}
            answer = await self.me.call(**asked)
            for fault in self.faults(answer, str(asked)):
                yield f"{fault}, asked for {query}"
            cursor = next_cursor(answer)
            if cursor is None:
                return
            query = {**query, "cursor": cursor}

    async def query_values(self) -> dict[str, list[Any]]:
        """Return what to try for each parameter: the rival's texts, identifiers and cursor where they fit."""
        bait = Examples(self.operation.components, self.rival.marker, self.rival.baits)
        found = {
            name: [self.rival.marker if self.rival.marker in str(value) else value for value in bait.choices(schema)]
            for name, schema in self.operation.named("query").items()
        }
        if {"cursor", "limit"} <= found.keys():
            request = self.operation.request(self.examples)
            theirs = await self.rival.owner.call(**{**request, "params": {**request["params"], "limit": 1}})
            found["cursor"].append(next_cursor(theirs) or "none")
        return found

    async def writes(self) -> AsyncIterator[str]:
        """Write as anybody would, once with each kind of the rival's identifiers where the body wants one."""
        for theirs in self.rival.baits:
            request = self.operation.request(replace(self.examples, ids=[theirs]))
            for fault in self.faults(await self.me.call(**request), str(request)):
                yield fault
            if not UUID.search(str(request.get("json"))):
                return

    async def calls_with_foreign_header(self) -> AsyncIterator[str]:
        """Select the rival: a stranger is told that there is no such tenant."""
        request = self.operation.request(self.examples)
        tenant = str(self.rival.owner.tenant_id)
        answer = await self.me.call(**request, headers={"X-Tenant-ID": tenant})
        if answer.status_code != 404 or answer.json()["code"] != "tenant_not_found":
            yield f"answered {answer.status_code} to a stranger"
        for fault in self.faults(answer, f"{request} {tenant}"):
            yield f"{fault}, shown to a stranger"

    async def calls_with_foreign_ids(self) -> AsyncIterator[str]:
        """Name every kind of object of the rival: each is as missing as one that never was."""
        for beside in await self.own_ids():
            nothing = dict.fromkeys(self.object_names, str(uuid.uuid4())) | beside
            missing = await self.me.call(**self.operation.request(self.examples, nothing))
            for theirs in self.rival.baits:
                path = dict.fromkeys(self.object_names, theirs) | beside
                request = self.operation.request(self.examples, path)
                answer = await self.me.call(**request)
                if answer.status_code != 404 or essence(answer) != essence(missing):
                    yield f"answered {answer.status_code} for {path}, and {missing.status_code} for what is missing"
                for fault in self.faults(answer, str(request)):
                    yield f"{fault}, asked for {path}"

    async def own_ids(self) -> list[dict[str, str]]:
        """Return what stands in a path beside the rival's: nothing, and one's own in every place but one, in turn."""
        names = self.object_names
        if len(names) == 1:
            return [{}]
        await create_each(self.lane, self.me, self.examples)
        rows = await self.lane.rows(self.me.tenant_id)
        mine = {name: named(name, rows) for name in names}
        return [{}] + [{name: mine[name] for name in names if name != theirs} for theirs in names]

    def faults(self, answer: Response, sent: str) -> Iterator[str]:
        """Yield what no answer may be: a sight of the rival, or a failure of the server."""
        yield from (f"showed {trace}" for trace in self.rival.traces(answer, sent))
        if answer.is_server_error:
            yield f"answered {answer.status_code}"


def singles(values: dict[str, list[Any]]) -> Iterator[Query]:
    """Yield no parameter, and each value alone."""
    yield {}
    yield from ({name: value} for name, choices in values.items() for value in choices)


def pairs(values: dict[str, list[Any]]) -> Iterator[Query]:
    """Yield each two values of two parameters.

    Where a list holds many identifiers, each value meets one of the other list.
    """
    for (one, ones), (other, others) in itertools.combinations(values.items(), 2):
        few = len(ones) * len(others) <= MOST_PAIRS
        met = itertools.product(ones, others) if few else zip(*cycled(ones, others), strict=True)
        yield from ({one: first, other: second} for first, second in met)


def cycled(*lists: list[Any]) -> Iterator[list[Any]]:
    """Yield lists, each begun again until it is as long as the longest."""
    longest = max(map(len, lists))
    yield from (list(itertools.islice(itertools.cycle(values), longest)) for values in lists)


def named(parameter: str, rows: Rows) -> str:
    """Return the object that a path's parameter names, `project_id` one of `projects`; where none is, any other."""
    table = f"{parameter.removesuffix('_id')}s"
    (found, *_) = [*rows.get(table, []), *itertools.chain.from_iterable(rows.values())]
    return str(found["id"])


def next_cursor(answer: Response) -> str | None:
    """Return where a list goes on."""
    shows_json = answer.is_success and answer.headers.get("content-type") == "application/json"
    body = answer.json() if shows_json else None
    found: str | None = body.get("next_cursor") if isinstance(body, dict) else None
    return found


def essence(answer: Response) -> dict[str, Any]:
    """Return a problem without what names the request itself."""
    problem: dict[str, Any] = answer.json()
    return {name: value for name, value in problem.items() if name not in {"request_id", "instance"}}
