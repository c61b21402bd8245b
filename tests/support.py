"""What tests share: the cluster, people who call the API, and a look past all policies."""

import asyncio
import os
import random
import socket
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import jwt
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.auth.passwords import passwords
from app.auth.tokens import issue_access
from app.config import Settings, settings
from app.core.unit_of_work import UnitOfWork
from app.utils.helpers import uuid7
from tests.pooler import POOLED
from tests.workers import background

TEMPLATE = "app_template"
PASSWORD = "a password of the tests"


@cache
def superuser(url: str) -> AsyncEngine:
    """Return an engine that keeps no connection, so that any loop may use it, and asks the server's version once."""
    return create_async_engine(url, poolclass=NullPool)


@dataclass(frozen=True)
class Cluster:
    """The PostgreSQL of the run; `admin_url` is its superuser's, `pooler` the folder of what stands before it."""

    admin_url: str
    pooler: str | None = None

    def url(self, role: str, database: str) -> str:
        """Return the address of a database as a role."""
        url = make_url(self.admin_url).set(username=role, database=database)
        if self.pooler and role in POOLED:
            url = url.update_query_dict({"host": self.pooler})
        return url.render_as_string(hide_password=False)

    async def clone(self, name: str) -> None:
        """Make a database from the template: 45 ms. Its files are copied: to log each page would take twice as long."""
        await self.run(f"create database {name} template {TEMPLATE} owner app_owner strategy file_copy")
        await self.run(f"revoke temporary on database {name} from public")

    async def drop(self, name: str) -> None:
        """Remove a database, whoever is still connected."""
        await self.run(f"drop database {name} with (force)")

    async def run(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the superuser, outside a transaction."""
        engine = superuser(self.url("postgres", database)).execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            await connection.execute(text(statement))

    async def rows(self, database: str, query: str, **values: Any) -> list[Any]:
        """Return what a query finds for the superuser, past every policy."""
        async with superuser(self.url("postgres", database)).begin() as connection:
            return list(await connection.execute(text(query), values))


@dataclass(frozen=True)
class Caller:
    """Somebody signed in, with a tenant selected."""

    client: AsyncClient
    user_id: uuid.UUID
    email: str
    token: str
    tenant_id: uuid.UUID

    @property
    def headers(self) -> dict[str, str]:
        """What goes with each request."""
        return {"Authorization": f"Bearer {self.token}", "X-Tenant-ID": str(self.tenant_id)}

    async def call(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **rest: Any) -> Response:
        """Send a request; `headers` go over the caller's own."""
        return await self.client.request(method, path, headers={**self.headers, **(headers or {})}, **rest)

    async def create_project(self, **fields: str) -> dict[str, Any]:
        """Create a project with a name nobody else has."""
        answer = await self.call("POST", "/projects", json={"name": f"project {uuid.uuid4()}"} | fields)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made


@dataclass(frozen=True)
class Team:
    """The people of one tenant, and a stranger, who owns another one."""

    owner: Caller
    admin: Caller
    member: Caller
    viewer: Caller
    stranger: Caller

    def __getitem__(self, role: str) -> Caller:
        """Return the caller by the name of the role."""
        caller: Caller = getattr(self, role)
        return caller


def free_port() -> int:
    """Return a port that nobody listens on, below those that the system hands out: none of these takes it meanwhile."""
    while True:
        port = random.randrange(15_000, 32_000)  # noqa: S311 - no secret
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def limited(**rates: str) -> Settings:
    """Return the settings with other limits."""
    return settings.model_copy(update={"limits": settings.limits.model_copy(update=rates)})


def visitor(app: FastAPI, address: str) -> AsyncClient:
    """Return somebody who calls an application from an address."""
    transport = ASGITransport(app, raise_app_exceptions=False, client=(address, 1234))
    return AsyncClient(transport=transport, base_url="http://test/api/v1")


@asynccontextmanager
async def serve(app: FastAPI, *, relay: bool = False) -> AsyncIterator[AsyncClient]:
    """Yield somebody who calls an application that is not asked to check its database first.

    With `relay`, for a database of its own, it carries out what it leaves in the outbox.
    """
    work: UnitOfWork = app.state.serving.gate.work
    try:
        transport = ASGITransport(app, raise_app_exceptions=False)
        beside = background(app) if relay else nullcontext()
        async with beside, AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
            yield client
    finally:
        await work.limits.limiter.close()
        for sessions in (work.sessions, work.reserve):
            await sessions.kw["bind"].dispose()


async def register(client: AsyncClient, name: str = "Some Body") -> Caller:
    """Register somebody with a tenant of their own, both of that name, and sign them in."""
    email = f"{uuid.uuid4().hex}@example.com"
    body = {"email": email, "password": PASSWORD, "full_name": name, "tenant_name": name}
    made = await client.post("/auth/register", json=body)
    assert made.status_code == 201, made.text
    user_id, tenant_id = (uuid.UUID(made.json()[part]["id"]) for part in ("user", "tenant"))
    return Caller(client, user_id, email, (await sign_in(client, email))["access_token"], tenant_id)


async def sign_in(client: AsyncClient, email: str, password: str = PASSWORD) -> dict[str, Any]:
    """Return the tokens of a new session."""
    answer = await client.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens


def renewed(caller: Caller) -> Caller:
    """Return somebody with a new token of the same session: one lives ten minutes, and a run of the tests longer."""
    claims = jwt.decode(caller.token, options={"verify_signature": False})
    return replace(caller, token=issue_access(uuid.UUID(claims["sub"]), uuid.UUID(claims["sid"])))


async def join(cluster: Cluster, database: str, caller: Caller, tenant_id: uuid.UUID, role: str) -> Caller:
    """Put somebody into a tenant, and return them with it selected."""
    await cluster.rows(
        database,
        "insert into memberships (tenant_id, id, user_id, role) values (:tenant, gen_random_uuid(), :user, :role)"
        " on conflict (tenant_id, user_id) do update set role = excluded.role returning 1",
        tenant=tenant_id,
        user=caller.user_id,
        role=role,
    )
    return Caller(caller.client, caller.user_id, caller.email, caller.token, tenant_id)


ENROL = """
    with wanted as (
        select * from unnest(cast(:users as uuid[]), cast(:emails as text[]), cast(:sessions as uuid[]),
            cast(:homes as uuid[]), cast(:roles as text[]))
            with ordinality as wanted (user_id, email, session_id, home, role, number)
    ), people as (
        insert into users (id, email, full_name) select user_id, email, 'Some Body' from wanted
    ), passwords as (
        insert into credentials (user_id, password_hash) select user_id, cast(:hash as text) from wanted
    ), sessions as (
        insert into auth_sessions (id, user_id, expires_at)
        select session_id, user_id, now() + interval '30 days' from wanted
    ), homes as (
        insert into tenants (id, name, version) select home, 'Some Body', 1 from wanted
    ), places as (
        insert into memberships (tenant_id, id, user_id, role, created_at)
        select home, gen_random_uuid(), user_id, 'owner', now() - interval '1 second' from wanted
        union all
        select cast(:tenant as uuid), gen_random_uuid(), user_id, role, now() + number * interval '1 microsecond'
        from wanted
    )
    select 1
"""


@cache
def password_hash() -> str:
    """Return the hash of the password that people of the tests have."""
    return passwords.hasher.hash(PASSWORD)


async def enrol(
    cluster: Cluster, database: str, client: AsyncClient, tenant_id: uuid.UUID, *roles: str
) -> list[Caller]:
    """Make somebody for each role in a tenant, with a tenant of their own, signed in: in one statement, for speed."""
    people = [(uuid7(), uuid7(), f"{uuid.uuid4().hex}@example.com") for _ in roles]
    users, sessions, emails = zip(*people, strict=True)
    values = {"users": users, "sessions": sessions, "emails": emails, "homes": [uuid7() for _ in roles], "roles": roles}
    await cluster.rows(database, ENROL, **values, hash=password_hash(), tenant=tenant_id)
    return [
        Caller(client, user_id, email, issue_access(user_id, session_id), tenant_id)
        for user_id, session_id, email in people
    ]


async def found_team(client: AsyncClient, cluster: Cluster, database: str) -> Team:
    """Make the people of a new tenant, one for each role, and a stranger."""
    owner, stranger = await register(client), await register(client)
    admin, member, viewer = await enrol(cluster, database, client, owner.tenant_id, "admin", "member", "viewer")
    return Team(owner, admin, member, viewer, stranger)


UNSETTLED = """
    select name, status, error from outbox_entries
    where status in ('sent', 'started') or status = 'queued' and due_at < now() + interval '5 seconds'
"""


def database_of(work: UnitOfWork) -> tuple[Cluster, str]:
    """Return where an application keeps its rows."""
    return Cluster(os.environ["GROUNDPLAN_TEST_CLUSTER"]), work.sessions.kw["bind"].url.database


async def settled_of(work: UnitOfWork) -> None:
    """Return when nothing in the outbox that an application writes to is due or under way."""
    await settled(*database_of(work))


async def chained_of(work: UnitOfWork) -> None:
    """Return when every entry of the audit that an application writes is chained."""
    await chained(*database_of(work))


async def settled(cluster: Cluster, database: str, seconds: float = 60) -> None:
    """Return when nothing in a database's outbox is due or under way; fail after so many seconds."""
    await none_found(cluster, database, UNSETTLED, seconds)


async def chained(cluster: Cluster, database: str, seconds: float = 60) -> None:
    """Return when every entry of a database's audit is chained; fail after so many seconds."""
    await none_found(cluster, database, "select count(*) from audit_unchained having count(*) > 0", seconds)


async def none_found(cluster: Cluster, database: str, query: str, seconds: float) -> None:
    """Return when a query finds nothing; to connect for each look would cost more than what is waited for."""
    deadline = time.monotonic() + seconds
    engine = superuser(cluster.url("postgres", database)).execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        while rows := list(await connection.execute(text(query))):
            assert time.monotonic() < deadline, rows
            await asyncio.sleep(0.01)
