"""Migrations: they agree with the models, take turns, wait for nobody for long, and can be printed."""

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from app.db import migrations
from tests.support import Cluster

CATALOGUE = """
    select 'column', table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable
        || coalesce(' ' || column_default, '') from information_schema.columns where table_schema = 'public'
    union all
    select 'policy', to_jsonb(p)::text from pg_policies p
    union all
    select 'grant', grantee || ' ' || privilege_type || ' ' || table_name || '.' || column_name
        from information_schema.column_privileges where table_schema = 'public' and grantee like 'app_%'
    union all
    select 'table', relname || ' ' || relowner::regrole || ' ' || relrowsecurity || relforcerowsecurity
        || coalesce(relacl::text, '') from pg_class where relnamespace = 'public'::regnamespace
    order by 1, 2
"""

HEAD = ScriptDirectory.from_config(migrations.configuration()).get_current_head()
"""The newest revision."""


@pytest.fixture
async def empty(cluster: Cluster) -> AsyncIterator[str]:
    """Make a database without tables, as the superuser prepares one; yield its name."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await migrations.prepare(cluster.admin_url, name, "app")
    yield name
    await cluster.drop(name)


@pytest.fixture
def clone(cluster: Cluster) -> Iterator[str]:
    """Make a migrated database to be changed; yield its name."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    asyncio.run(cluster.clone(name))
    yield name
    asyncio.run(cluster.drop(name))


def plain(url: str) -> str:
    """Return the address as the driver alone wants it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def test_models_and_migrations_agree(cluster: Cluster, clone: str) -> None:
    """`alembic check` finds nothing that a new migration would do."""
    config = migrations.configuration()
    config.attributes["url"] = cluster.url("app_migrator", clone)
    command.check(config)


def test_down_and_up_again_is_where_it_was(cluster: Cluster, clone: str) -> None:
    """Every migration can be undone, down to nothing, and done again with the same catalogue."""
    before = asyncio.run(cluster.rows(clone, CATALOGUE))
    config = migrations.configuration()
    config.attributes["url"] = cluster.url("app_migrator", clone)
    command.downgrade(config, "base")
    left = asyncio.run(cluster.rows(clone, "select tablename from pg_tables where schemaname = 'public'"))
    assert [row.tablename for row in left] == ["alembic_version"]
    migrations.upgrade(cluster.url("app_migrator", clone))
    assert asyncio.run(cluster.rows(clone, CATALOGUE)) == before


async def test_two_at_once_take_turns(cluster: Cluster, empty: str) -> None:
    """Two processes that migrate one empty database both end well, and the schema is there once."""
    url = cluster.url("app_migrator", empty)
    environment = {**os.environ, "APP_DATABASE__URL": url, "APP_DATABASE__MIGRATE_URL": url}
    command_line = (sys.executable, "-m", "app.cli", "migrate")
    both = [await asyncio.create_subprocess_exec(*command_line, env=environment, stdout=DEVNULL) for _ in range(2)]
    assert [await process.wait() for process in both] == [0, 0]
    assert await migrations.revision(url) == HEAD


async def test_the_printed_script_makes_the_same_database(cluster: Cluster, empty: str, database: str) -> None:
    """What `app migrate --sql` prints, run by the superuser alone, gives the same tables, policies and grants."""
    connection = await asyncpg.connect(plain(cluster.url("postgres", empty)))
    await connection.execute(await asyncio.to_thread(migrations.script, empty))
    await connection.close()
    assert await cluster.rows(empty, CATALOGUE) == await cluster.rows(database, CATALOGUE)


def test_nothing_is_done_when_all_is_there(cluster: Cluster, clone: str) -> None:
    """Up to date means one look: it works while every table is locked."""

    async def upgrade_under_lock() -> None:
        connection = await asyncpg.connect(plain(cluster.url("postgres", clone)))
        await connection.execute("begin; lock table projects, users, tenants in access exclusive mode")
        await asyncio.to_thread(migrations.upgrade, cluster.url("app_migrator", clone))
        await connection.close()

    asyncio.run(upgrade_under_lock())


def test_a_table_in_use_is_not_waited_for_long(cluster: Cluster, clone: str) -> None:
    """The migration gives up and leaves all as it was, instead of making everybody queue behind it."""

    async def downgrade_under_lock() -> None:
        connection = await asyncpg.connect(plain(cluster.url("postgres", clone)))
        await connection.execute("begin; lock table notifications in access share mode")
        config = migrations.configuration()
        config.attributes |= {"url": cluster.url("app_migrator", clone), "lock_timeout": "200ms"}
        with pytest.raises(DBAPIError, match="lock timeout"):
            await asyncio.to_thread(command.downgrade, config, "0002")
        await connection.close()

    asyncio.run(downgrade_under_lock())
    assert asyncio.run(migrations.revision(cluster.url("app_migrator", clone))) == HEAD
