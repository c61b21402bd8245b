"""Two databases without row security: one with the rows of two tenants, one with the rows of the first alone.

A statement is narrowed when a session of the first tenant finds in the one what anybody finds in the other.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Executable, Result, inspect, text
from sqlalchemy.exc import ResourceClosedError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.config import settings
from app.db.base import Base
from app.db.engine import create_engine
from app.db.session import Database
from app.models import SCHEMA
from tests.db.raw import connect_as
from tests.isolation.lanes import DISABLE
from tests.support import Cluster

OURS, THEIRS = uuid.UUID(int=0xA), uuid.UUID(int=0xB)
ANN, BOB = uuid.UUID(int=0x1A), uuid.UUID(int=0x1B)
UNSCOPED = {"unscoped": "a test compares"}

PEOPLE = f"""
    delete from tenants;
    insert into users (id, email, full_name)
        values ('{ANN}', 'ann@example.com', 'Ann'), ('{BOB}', 'bob@example.com', 'Bob');
"""
TENANT = """
    insert into tenants (id, name, version) values ('{tenant}', 'same name', 1);
    insert into memberships (tenant_id, id, user_id, role)
        select '{tenant}', md5('{tenant}' || id)::uuid, id, 'owner' from users;
    insert into projects (tenant_id, id, name, description, status, created_by, version)
        select '{tenant}', md5('{tenant}' || name)::uuid, name, 'of {letter}', 'active', '{ann}', 1
        from unnest(array['one', 'two']) as name;
    insert into notifications (tenant_id, id, user_id, kind, object_id, title)
        select tenant_id, id, created_by, 'project.created', id, '{letter} ' || name from projects
        where tenant_id = '{tenant}';
"""
DELETED = """
    insert into projects (tenant_id, id, name, description, status, created_by, version, deleted_at)
        select id, md5(id || 'gone')::uuid, 'gone', 'deleted', 'active', '{ann}', 1, now() from tenants;
"""


def key(tenant: uuid.UUID, name: str) -> uuid.UUID:
    """Return the id of a project by its tenant and name; its notice has the same one."""
    return uuid.UUID(hashlib.md5(f"{tenant}{name}".encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True)
class Pair:
    """Sessions on both databases."""

    both: async_sessionmaker[Database]
    alone: async_sessionmaker[Database]

    async def narrowed(self, statement: Executable, *rows: Any) -> list[str]:
        """Return what a session of the first tenant finds where both have rows."""
        return await find(self.both(tenant_id=OURS), statement, *rows)

    async def expected(self, statement: Executable, *rows: Any) -> list[str]:
        """Return what anybody finds where the first tenant is alone."""
        return await find(self.alone(tenant_id=OURS), statement, *rows, **UNSCOPED)

    async def unscoped(self, statement: Executable, *rows: Any) -> list[str]:
        """Return what an unscoped statement finds where both have rows."""
        return await find(self.both(tenant_id=OURS), statement, *rows, **UNSCOPED)


async def find(session: Database, statement: Executable, *rows: Any, **options: Any) -> list[str]:
    """Return the rows of a statement in a comparable form and order, and undo what it did."""
    async with session:
        return shown(await session.execute(statement, *rows, execution_options=options))


def shown(result: Result[Any]) -> list[str]:
    """Return rows as text: entities by their keys, sorted."""
    try:
        return sorted(str([show(value) for value in row]) for row in result)
    except ResourceClosedError:
        return []


def show(value: Any) -> Any:
    """Return an entity's key, and anything else as it is."""
    return inspect(value).identity if isinstance(value, Base) else value


@asynccontextmanager
async def open_pair(cluster: Cluster) -> AsyncIterator[Pair]:
    """Make both databases, and throw them away afterwards."""
    names = [f"gp_{uuid.uuid4().hex[:12]}" for _ in range(2)]
    engines: list[AsyncEngine] = []
    for name, letters in zip(names, ("ab", "a"), strict=True):
        await cluster.clone(name)
        await furnish(cluster, name, letters)
        engines.append(create_engine(settings.database, cluster.url("app_rw", name)))
    try:
        yield Pair(*(async_sessionmaker(engine, class_=Database) for engine in engines))
    finally:
        for name, engine in zip(names, engines, strict=True):
            await engine.dispose()
            await cluster.drop(name)


async def furnish(cluster: Cluster, database: str, letters: str) -> None:
    """Switch row security off and add the tenants; only where there are two, each has a deleted project."""
    await cluster.run(DISABLE, database)
    tenants = dict(zip("ab", (OURS, THEIRS), strict=True))
    script = PEOPLE + "".join(TENANT.format(tenant=tenants[letter], letter=letter, ann=ANN) for letter in letters)
    async with connect_as(cluster, "postgres", database) as connection:
        await connection.execute(script + (DELETED.format(ann=ANN) if len(letters) > 1 else ""))


async def everything(session: Database) -> dict[str, list[str]]:
    """Return every row that a tenant could lose or leak, by tenant, as the session's transaction sees them."""
    found: dict[str, list[str]] = {}
    kept = ("tenants", "memberships", "projects", "notifications", "users")
    for table in (table for table in kept if table in SCHEMA.tables):
        owner = {"tenants": "id", "users": "null::uuid"}.get(table, "tenant_id")
        query = text(
            f"select {owner} as owner, (to_jsonb(t) - '{{created_at,updated_at}}'::text[])::text from {table} t"
        )
        for row in await session.execute(query, execution_options=UNSCOPED):
            found.setdefault(str(row.owner), []).append(f"{table} {row[1]}")
    return {owner: sorted(rows) for owner, rows in found.items()}
