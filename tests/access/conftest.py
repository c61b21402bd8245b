"""An application that knows more roles than the four of every tenant, and people to hold them."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient

from app.main import create_app
from tests.access.roles import ROLES, Cast, hire
from tests.support import Caller, Cluster, register, serve


@pytest.fixture(scope="session")
async def stage(cluster: Cluster, database: str) -> AsyncIterator[AsyncClient]:
    """Serve an application that has a role for each permission alone."""
    async with serve(create_app(url=cluster.url("app_rw", database), roles=ROLES)) as client:
        yield client


@pytest.fixture(scope="session")
async def cast(stage: AsyncClient, cluster: Cluster, database: str) -> Cast:
    """Register a person for each role, to be put into one tenant after the other."""
    return await hire(stage, cluster, database)


@pytest.fixture(scope="session")
async def somebody(client: AsyncClient) -> Caller:
    """Register an owner whose requests are refused before they change anything."""
    return await register(client)
