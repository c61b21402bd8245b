"""The database by the driver alone: no session, no filter, one role."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy.engine import make_url

from tests.support import Cluster

Raw: TypeAlias = "asyncpg.Connection[Any]"


@asynccontextmanager
async def connect_as(cluster: Cluster, role: str, database: str) -> AsyncIterator[Raw]:
    """Yield a connection as a role."""
    url = make_url(cluster.admin_url)
    connection: Raw = await asyncpg.connect(host=str(url.query["host"]), user=role, database=database)
    try:
        yield connection
    finally:
        await connection.close()


async def become(connection: Raw, tenant_id: object = "", actor_id: object = "") -> None:
    """Set a transaction's tenant and actor, as a session does."""
    query = "select set_config('app.tenant_id', $1, true), set_config('app.actor_id', $2, true)"
    await connection.execute(query, str(tenant_id), str(actor_id))
