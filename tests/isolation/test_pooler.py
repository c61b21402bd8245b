"""Where the suite runs behind a pooler (`tests/pooler.py`), it really does."""

import pytest

from tests.isolation.lanes import Lane
from tests.pooler import BEHIND_A_POOLER, NAME, POOLED
from tests.support import register

CONNECTED = """
    select usename, application_name from pg_stat_activity
    where datname = current_database() and usename = any(:roles) group by 1, 2
"""


@pytest.mark.skipif(not BEHIND_A_POOLER, reason="GROUNDPLAN_TEST_POOLER=pgbouncer was not asked for")
async def test_every_connection_comes_through_the_pooler(lane: Lane) -> None:
    """Of the application's roles none has a connection that pgbouncer did not open."""
    await register(lane.client)
    await lane.settle()
    found = {(row.usename, row.application_name) for row in await lane.run(CONNECTED, roles=list(POOLED))}
    assert {role for role, _ in found} == set(POOLED)
    assert {name for _, name in found} == {NAME}
