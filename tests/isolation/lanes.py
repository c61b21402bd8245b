"""Installations whose tenants are kept apart by both lines, by either alone, and by none."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.core.routing import Router
from app.main import create_app
from app.routes import ROUTERS
from tests.support import Cluster, chained_of, serve, settled_of

Rows = dict[str, list[dict[str, Any]]]
"""Rows as JSON, by table."""

DISABLE = """
    do $$ declare name regclass; begin
        for name in select oid::regclass from pg_class where relrowsecurity and relnamespace = 'public'::regnamespace
        loop
            execute format('alter table %s disable row level security, no force row level security', name);
        end loop;
    end $$
"""
"""What only the tables' owner can do: under FORCE, the owner sees no rows either."""

TENANT_TABLES = """
    select table_name from information_schema.columns join information_schema.tables using (table_schema, table_name)
    where table_schema = 'public' and column_name = 'tenant_id' and table_type = 'BASE TABLE' order by table_name
"""


@dataclass(frozen=True)
class Lane:
    """One installation: an application on a database of its own, called by people."""

    app: FastAPI
    client: AsyncClient
    superuser: AsyncEngine

    async def run(self, statement: str, **values: Any) -> list[Any]:
        """Return what a statement finds for the superuser, past every policy."""
        async with self.superuser.begin() as connection:
            found = await connection.execute(text(statement), values)
            return list(found) if found.returns_rows else []

    async def tables(self) -> list[str]:
        """Return the tables that hold rows of tenants, as the catalogue knows them."""
        return [row.table_name for row in await self.run(TENANT_TABLES)]

    async def settle(self) -> None:
        """Wait until all that was left in the outbox is done."""
        await settled_of(self.app.state.serving.gate.work)

    async def chain(self) -> None:
        """Wait until the sequencer has chained every entry of the audit, and moves none any more."""
        await self.settle()
        await chained_of(self.app.state.serving.gate.work)

    async def rows(self, tenant_id: uuid.UUID) -> Rows:
        """Return every row of a tenant, and the tenant's own, once nothing in the outbox changes them any more."""
        await self.settle()
        found: Rows = {name: [] for name in [*await self.tables(), "tenants"]}
        keys = {name: "id" if name == "tenants" else "tenant_id" for name in found}
        parts = [
            f"select '{name}' as name, to_jsonb(t) as row from {name} t where {key} = :tenant"
            for name, key in keys.items()
        ]
        query = f"{' union all '.join(parts)} order by name, row"
        for line in await self.run(query, tenant=tenant_id):
            found[line.name].append(line.row)
        # The sequencer moves an entry from the queue into the chain at any moment: what counts is that it is there.
        links = [*found["audit_chain"], *found.pop("audit_unchained")]
        found["audit_chain"] = [{"id": entry_id} for entry_id in sorted(link["id"] for link in links)]
        return found


@asynccontextmanager
async def open_lane(
    cluster: Cluster,
    *,
    policies: bool = True,
    orm_filter: bool = True,
    routers: Sequence[Router] = tuple(ROUTERS),
) -> AsyncIterator[Lane]:
    """Yield a new installation, which is thrown away afterwards; `policies` and `orm_filter` are the two lines."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    if not policies:
        await cluster.run(DISABLE, database)
    info = {} if orm_filter else {"filter_off": True}
    app = create_app(url=cluster.url("app_rw", database), session_info=info, routers=routers)
    superuser = create_async_engine(cluster.url("postgres", database))
    try:
        async with serve(app, relay=True) as client:
            yield Lane(app, client, superuser)
    finally:
        await superuser.dispose()
        await cluster.drop(database)
