"""A crowd on a real wire: what each request asks for, and how a client leaves in the middle of one."""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any, Literal

from httpx2 import AsyncClient

from app.routes import PREFIX
from tests.support import Caller, Cluster, register

Leaving = Literal["early", "in_the_body", "sent", "answered"]
"""When a client goes: after the first bytes, in the middle of its body, after all of it, at the answer's first byte."""

PLACES = """
    insert into memberships (tenant_id, id, user_id, role)
    select place.tenant_id, gen_random_uuid(), place.user_id, place.role
    from unnest(cast(:tenants as uuid[]), cast(:users as uuid[]), cast(:roles as text[]))
    as place (tenant_id, user_id, role) returning 1
"""
FILLING = "x" * 4000
"""Makes bodies long enough to have a middle."""


@dataclass(frozen=True)
class House:
    """A tenant with its people; `stranger` has selected it and is no member. The owner's `project` is to be changed."""

    owner: Caller
    member: Caller
    viewer: Caller
    stranger: Caller
    project: dict[str, Any]


@dataclass(repr=False)
class Ask:
    """One request, what must come of it, and what came."""

    key: str
    caller: Caller
    method: str
    path: str
    expected: int
    body: dict[str, str] = field(default_factory=dict)
    leaving: Leaving | None = None
    pause: float = 0.0
    status: int | None = None
    request_id: str | None = None
    answer: Any = None

    def __repr__(self) -> str:
        return f"{self.key} {self.method} {self.path} {self.leaving or 'stays'}"

    @property
    def must_succeed(self) -> bool:
        """Tell whether the client knows that it was done: an answer has begun, and it is the expected one."""
        return self.expected < 300 and self.leaving in {None, "answered"}

    @property
    def must_fail(self) -> bool:
        """Tell whether nothing may be left of it: it was refused, or never arrived."""
        return self.expected >= 300 or self.leaving in {"early", "in_the_body"}

    def encoded(self) -> tuple[bytes, bytes]:
        """Return head and body as they go over the wire."""
        body = json.dumps(self.body).encode() if self.body else b""
        lines = [f"{self.method} {PREFIX}{self.path} HTTP/1.1", "Host: test", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.caller.headers.items()]
        lines += [f"X-Request-ID: {self.key}"]
        if body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "", ""]).encode(), body


async def settle(client: AsyncClient, cluster: Cluster, database: str, number: int) -> list[House]:
    """Make so many tenants; who owns one is a member of the next, a viewer of the third, a stranger else."""
    owners = [await register(client, f"House {index}") for index in range(number)]
    places = [
        (owners[index].tenant_id, owners[(index + step) % number].user_id, role)
        for index in range(number)
        for step, role in ((-1, "member"), (-2, "viewer"))
    ]
    tenants, users, roles = ([place[part] for place in places] for part in range(3))
    await cluster.rows(database, PLACES, tenants=tenants, users=users, roles=roles)

    def guest(index: int, step: int) -> Caller:
        other = owners[(index + step) % number]
        return Caller(client, other.user_id, other.email, other.token, owners[index].tenant_id)

    return [
        House(owner, guest(index, -1), guest(index, -2), guest(index, -3), await owner.create_project())
        for index, owner in enumerate(owners)
    ]


def requests(houses: list[House]) -> list[Ask]:
    """Return ten requests a house: half of them write, four must be refused."""
    found = []
    for number, house in enumerate(houses):
        other = houses[(number + 5) % len(houses)].project["id"]
        own = f"/projects/{house.project['id']}"
        script = [
            (house.owner, "POST", "/projects", 201),
            (house.owner, "POST", "/projects", 201),
            (house.member, "POST", "/projects", 201),
            (house.member, "POST", "/projects", 201),
            (house.owner, "PATCH", own, 200),
            (house.viewer, "POST", "/projects", 403),
            (house.stranger, "POST", "/projects", 404),
            (house.member, "PATCH", own, 403),
            (house.viewer, "GET", "/projects", 200),
            (house.owner, "GET", f"/projects/{other}", 404),
        ]
        for turn, (caller, method, path, expected) in enumerate(script):
            key = f"house{number}-turn{turn}"
            body = {"description": f"{key} {FILLING}"} | ({"name": key} if method == "POST" else {})
            found.append(Ask(key, caller, method, path, expected, {} if method == "GET" else body))
    return found


def shuffle(asks: list[Ask], seed: int) -> list[Ask]:
    """Put the requests into an order of chance, and let a tenth of them leave, in every way; the same for one seed."""
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret by it
    chance.shuffle(asks)
    for index, ask in enumerate(chance.sample(asks, len(asks) // 10)):
        ways: list[Leaving] = (
            ["sent", "in_the_body", "answered", "early"] if ask.body else ["sent", "answered", "early"]
        )
        ask.leaving = ways[index % len(ways)]
        ask.pause = chance.random() * 0.3 if ask.leaving == "sent" else chance.random() * 0.05
    return asks


async def send(port: int, ask: Ask) -> None:
    """Send a request and keep its answer, or go away when it says so."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        head, body = ask.encoded()
        whole = head + body
        parts = {"early": whole[:1], "in_the_body": whole[: len(head) + len(body) // 2]}
        writer.write(parts.get(ask.leaving or "", whole))
        await writer.drain()
        if ask.leaving is None:
            keep(ask, await reader.read())
        elif ask.leaving == "answered":
            assert await reader.readexactly(1) == b"H"
        await asyncio.sleep(ask.pause)
    finally:
        writer.transport.abort()


def keep(ask: Ask, received: bytes) -> None:
    """Note what was answered."""
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert len(body) == int(headers["content-length"]), ask
    ask.status, ask.request_id, ask.answer = int(first.split()[1]), headers["x-request-id"], json.loads(body)
