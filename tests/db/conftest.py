"""What the tests of this folder share: databases in which the filter stands alone."""

from collections.abc import AsyncIterator

import pytest

from tests.db.pair import Pair, open_pair
from tests.support import Cluster


@pytest.fixture(scope="session")
async def pair(cluster: Cluster) -> AsyncIterator[Pair]:
    """Two databases without row security, for tests that undo what they do."""
    async with open_pair(cluster) as found:
        yield found
