"""People to hold every role."""

import pytest
from httpx2 import AsyncClient

from tests.access.roles import Cast, hire
from tests.support import Caller, Cluster, register, renewed


@pytest.fixture(scope="session")
async def cast(client: AsyncClient, cluster: Cluster, database: str) -> Cast:
    """Register a person for each role, to be put into one tenant after the other."""
    return await hire(client, cluster, database)


@pytest.fixture(scope="session")
async def registered(client: AsyncClient) -> Caller:
    """Register an owner whose requests are refused before they change anything."""
    return await register(client)


@pytest.fixture
def somebody(registered: Caller) -> Caller:
    """Return that owner, signed in anew."""
    return renewed(registered)
