"""What the tests of the chain share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.audit.house import House, open_house
from tests.support import Cluster


@pytest.fixture
async def house(cluster: Cluster, tmp_path: Path) -> AsyncIterator[House]:
    """Open an audit that may be tampered with."""
    async with open_house(cluster, tmp_path) as found:
        yield found
