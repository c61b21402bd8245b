"""How the suite's applications get their deliveries and tasks done: inline, or by a worker behind a broker.

`GROUNDPLAN_TEST_TASKS=worker make test` chooses the second: each application has a Valkey of its own, a relay that
fills RQ's queues there, and a worker that empties them.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path

from fastapi import FastAPI
from redis import Redis

from app.config import settings
from app.core.broker import BrokerTransport, SealedWorker, listen, queue
from app.core.unit_of_work import UnitOfWork
from app.embedded.valkey import Valkey
from app.processes import Pools, Roles, announcing, in_background, relaying, seals
from app.worker import create_runner

BEHIND_A_BROKER = os.environ.get("GROUNDPLAN_TEST_TASKS") == "worker"
PATIENCE = 10.0
"""Seconds that runs have for their end when an application stops."""


def background(app: FastAPI) -> AbstractAsyncContextManager[None]:
    """Return what carries out, while it is open, what an application leaves in the outbox."""
    if BEHIND_A_BROKER:
        return behind_a_broker(app.state.serving.gate.work)
    found: AbstractAsyncContextManager[None] = app.state.background()
    return found


def choose(app: FastAPI) -> None:
    """Let an application that is started as a whole use what was chosen."""
    if BEHIND_A_BROKER:
        app.state.background = partial(behind_a_broker, app.state.serving.gate.work)


@asynccontextmanager
async def behind_a_broker(api: UnitOfWork) -> AsyncIterator[None]:
    """Start a Valkey, a relay and a worker for the outbox of an application."""
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        valkey = Valkey(Path(folder) / "valkey")
        await asyncio.to_thread(valkey.start)
        try:
            async with working(api, valkey.url):
                yield
        finally:
            await asyncio.to_thread(valkey.stop)


@asynccontextmanager
async def working(api: UnitOfWork, broker: str) -> AsyncIterator[None]:
    """Run relay and worker on this loop."""
    roles = Roles.of(settings, api.sessions.kw["bind"].url.render_as_string(hide_password=False))
    info = api.sessions.kw["info"]
    pools = Pools.open(in_background(settings), roles.worker, services=api.services, limits=api.limits, info=info)
    transport = BrokerTransport(broker, seals(settings), settings.tasks)
    connection = Redis.from_url(broker)
    queues = [queue(name, connection) for name in settings.tasks.queues]
    runner = create_runner(pools.work, settings)
    # A test that is no coroutine blocks the loop as long as it takes: that is no news, and not for its standard error.
    worker = SealedWorker(queues, connection=connection, runner=runner, seals=seals(settings), blocked_after=600.0)
    try:
        async with relaying(settings, roles.relay, transport) as relay, announcing(pools, broker):
            api.wake = pools.work.wake
            listening = asyncio.create_task(listen(broker, relay.wake))
            running = asyncio.create_task(worker.work_async())
            try:
                yield
            finally:
                await worker.stop(grace=PATIENCE)
                await running
                listening.cancel()
                await asyncio.wait({listening})
                transport.close()
                connection.close()
    finally:
        await pools.close()
