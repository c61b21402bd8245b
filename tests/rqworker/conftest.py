"""A flushed broker for each test."""

from collections.abc import Iterator

import pytest
from redis import Redis
from rq import Queue

from tests.rqworker import jobs
from tests.rqworker.support import Broker


@pytest.fixture(autouse=True)
def _gate() -> Iterator[None]:
    """Let jobs wait, and let them go afterwards."""
    jobs.GATE.clear()
    yield
    jobs.GATE.set()


@pytest.fixture
def desk(broker: str) -> Iterator[Broker]:
    """Yield an empty broker."""
    connection = Redis.from_url(broker)
    connection.flushall()
    found = Broker(broker, connection)
    yield found
    for opened in (*found.made, connection):
        opened.close()


@pytest.fixture
def queue(desk: Broker) -> Queue:
    """Return the queue that a worker serves if nothing else is said."""
    return desk.queue()
