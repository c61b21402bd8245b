"""Roles, database and schema: from nothing to the head of the migrations, by code or as printed SQL."""

import asyncio
import io
from collections.abc import Iterable
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.db.tenancy import Roles, database_statements, roles

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds alembic.ini."""


async def prepare(admin_url: str, database: str, prefix: str) -> None:
    """Make the roles and the database, as the superuser of `admin_url`; idempotent."""
    await run(admin_url, Roles.named(prefix).statements())
    exists = await fetch(admin_url, "select 1 from pg_database where datname = :name", name=database)
    if not exists:
        await run(admin_url, [f"create database {database} owner {Roles.named(prefix).owner}"])
    await run(inside(admin_url, database), database_statements(database))


def inside(url: str, database: str) -> str:
    """Return the same address in another database."""
    return make_url(url).set(database=database).render_as_string(hide_password=False)


async def run(url: str, statements: Iterable[str]) -> None:
    """Run statements one by one, each in its own transaction."""
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(text(statement))
    await engine.dispose()


async def fetch(url: str, query: str, **values: str) -> object | None:
    """Return the first value of a query, or None."""
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        found: object | None = await connection.scalar(text(query), values)
    await engine.dispose()
    return found


def upgrade(migrate_url: str) -> None:
    """Bring the schema to the newest revision; returns at once when it is there. Two at a time take turns."""
    config = configuration()
    config.attributes["url"] = migrate_url
    if asyncio.run(revision(migrate_url)) != ScriptDirectory.from_config(config).get_current_head():
        command.upgrade(config, "head")


async def revision(url: str) -> str | None:
    """Return the revision of a database, or None for an empty one."""
    if await fetch(url, "select to_regclass('public.alembic_version')") is None:
        return None
    found = await fetch(url, "select version_num from alembic_version")
    return str(found) if found else None


def script(database: str) -> str:
    """Return everything as SQL: roles, what the database needs, tables, grants and policies."""
    output = io.StringIO()
    command.upgrade(configuration(output), "head", sql=True)
    before = [*roles_and_database(database)]
    return "\n".join([*(f"{statement};" for statement in before), output.getvalue()])


def roles_and_database(database: str) -> Iterable[str]:
    """Yield what a superuser runs before the migrations, inside the database."""
    yield from roles().statements()
    yield from database_statements(database)


def configuration(output: io.StringIO | None = None) -> Config:
    """Return Alembic's configuration of this project."""
    config = Config(ROOT / "alembic.ini", output_buffer=output)
    config.set_main_option("script_location", str(ROOT / "alembic"))
    return config
