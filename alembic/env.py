"""Run the migrations: one at a time, as the owner of the tables, waiting for nobody's lock for long."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.config import settings
from app.db.tenancy import roles
from app.models import SCHEMA

WAIT_FOR_OTHERS = "60s"
WAIT_FOR_LOCKS = "5s"
MIGRATION_LOCK = 4_703_612
"""The key of the advisory lock that one migrator at a time holds."""


def run(connection: Connection) -> None:
    """Migrate on a connection, under the lock."""
    connection.execute(text(f"set lock_timeout = '{WAIT_FOR_OTHERS}'"))
    connection.execute(text("select pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    patience = context.config.attributes.get("lock_timeout", WAIT_FOR_LOCKS)
    connection.execute(text(f"set lock_timeout = '{patience}'"))
    connection.execute(text(f"set role {roles().owner}"))
    connection.commit()
    context.configure(connection=connection, target_metadata=SCHEMA, compare_server_default=True)
    with context.begin_transaction():
        context.run_migrations()


async def online() -> None:
    """Connect as the migrator and migrate; the lock goes with the connection."""
    url = context.config.attributes.get("url") or settings.need("database.migrate_url")
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


def offline() -> None:
    """Print the SQL, for somebody else's database administrator."""
    context.configure(dialect_name="postgresql", target_metadata=SCHEMA, literal_binds=True)
    with context.begin_transaction():
        context.execute(f"set local role {roles().owner}")
        context.run_migrations()


if context.is_offline_mode():
    offline()
else:
    asyncio.run(online())
