"""The three lanes that isolation is proven in, and the control in which it must break."""

from collections.abc import AsyncIterator

import pytest

from tests.isolation.lanes import Lane, open_lane
from tests.isolation.rivals import Rival, furnish
from tests.support import Cluster

LANES: dict[str, tuple[bool, bool]] = {
    "as_shipped": (True, True),
    "filter_alone": (False, True),
    "policies_alone": (True, False),
}
"""Whether the policies stand, and whether the filter does."""


@pytest.fixture(scope="session", params=LANES)
async def lane(request: pytest.FixtureRequest, cluster: Cluster) -> AsyncIterator[Lane]:
    """Open an installation with both lines, and with each of them alone."""
    policies, orm_filter = LANES[request.param]
    async with open_lane(cluster, policies=policies, orm_filter=orm_filter) as found:
        yield found


@pytest.fixture(scope="session")
async def control(cluster: Cluster) -> AsyncIterator[Lane]:
    """Open an installation with neither line: what passes here as well, proves nothing."""
    async with open_lane(cluster, policies=False, orm_filter=False) as found:
        yield found


@pytest.fixture(scope="session")
async def rival(lane: Lane) -> Rival:
    """Make a tenant of the lane with something in every table, which nobody else may touch."""
    return await furnish(lane)
