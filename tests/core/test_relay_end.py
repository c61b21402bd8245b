"""The end of a relay: told to stop, it stops, whatever news comes at that moment."""

import asyncio

import pytest

from app.config import settings
from app.core.inline import InlineTransport
from app.core.relay import Relay
from app.core.runner import Runner
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from tests.support import Cluster


class IdleRelay(Relay):
    """Never finds anything due."""

    async def send_due(self) -> int:
        """Return that nothing was sent."""
        return 0


@pytest.mark.parametrize("turns", range(6))
async def test_news_at_the_end_does_not_keep_a_relay(
    cluster: Cluster, database: str, work: UnitOfWork, turns: int
) -> None:
    """A wake-up so many turns of the loop before the cancellation: the relay ends all the same."""
    engine = create_engine(settings.database, cluster.url("app_relay", database))
    transport = InlineTransport(Runner(work, {}, settings.tasks), 1)
    relay = IdleRelay(engine, transport, settings.tasks.model_copy(update={"poll_seconds": 60.0}))
    running = asyncio.create_task(relay.forward())
    for _ in range(3):
        await asyncio.sleep(0)
    relay.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=2)
    running.cancel()
    await asyncio.wait({running}, timeout=2)
    assert done
