"""`app worker --queue`: places kept free for some queues."""

import asyncio
import os
import signal

import pytest
from redis import Redis
from rq import Worker

from app.config import settings
from app.processes import work
from tests.commands.support import call
from tests.support import Cluster


async def test_a_worker_serves_the_queues_that_were_named(cluster: Cluster, database: str, broker: str) -> None:
    """These alone, the first one first, until a signal."""
    roles = {f"{role}_url": cluster.url(f"app_{role}", database) for role in ("worker", "relay")}
    config = settings.model_copy(
        update={
            "database": settings.database.model_copy(update=roles),
            "broker": settings.broker.model_copy(update={"url": broker}),
        }
    )
    working = asyncio.create_task(work(config, queues=["low", "high"]))
    with Redis.from_url(broker) as redis:
        async with asyncio.timeout(20):
            while ["low", "high"] not in [one.queue_names() for one in Worker.all(connection=redis)]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    await working


def test_a_queue_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing would ever come into it."""
    assert call("worker", "--queue", "hihg") == 2
    assert "there is no queue 'hihg': tasks.queues has" in " ".join(capsys.readouterr().err.replace("│", " ").split())
