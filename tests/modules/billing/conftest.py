"""What the tests of billing start from."""

import pytest

from app.core.unit_of_work import UnitOfWork
from tests.modules.billing.support import Office
from tests.support import Caller, Cluster


@pytest.fixture
def office(owner: Caller, cluster: Cluster, database: str, work: UnitOfWork) -> Office:
    """Return a new tenant that bills."""
    return Office(owner, cluster, database, work)
