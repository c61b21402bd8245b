"""What there is to see in the dashboard: a relay and a worker of ours, and tasks that fail once or wait."""

import asyncio
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from redis import Redis

from app.config import settings
from app.core.broker import BrokerTransport, SealedWorker, queue
from app.core.context import Context
from app.core.relay import Relay
from app.core.runner import Runner, registry
from app.core.tasks import task
from app.db.engine import create_engine
from app.processes import Pools, Roles, seals
from tests.core.bench import Bench
from tests.support import Cluster

WORKER = "a-worker-of-ours"
RUNS: Counter[str] = Counter()
GATES: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)


@task(retries=0)
async def fail_once(ctx: Context, name: str) -> None:
    """Fail in the first attempt, which is the last one, and succeed in a second."""
    RUNS[name] += 1
    if RUNS[name] == 1:
        raise RuntimeError("it fails for the 1. time")


@task(retries=0)
async def wait_for(ctx: Context, gate: str) -> None:
    """Run until a gate is opened."""
    await GATES[gate].wait()


@asynccontextmanager
async def open_shift(cluster: Cluster, broker: str) -> AsyncIterator[Bench]:
    """Run relay and worker on this loop, on a database of their own and on an emptied broker."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    roles = Roles.of(settings, cluster.url("app_rw", database))
    pools, engine = Pools.open(settings, roles.worker), create_engine(settings.database, roles.relay, 2)
    runner = Runner(pools.work, registry(((one.name, None), one) for one in (fail_once, wait_for)), settings.tasks)
    transport, connection = BrokerTransport(broker, seals(settings), settings.tasks), Redis.from_url(broker)
    connection.flushall()
    relay = Relay(engine, transport, settings.tasks)
    pools.work.wake = relay.wake
    queues = [queue(name, connection) for name in settings.tasks.queues]
    worker = SealedWorker(queues, connection=connection, name=WORKER, runner=runner, seals=seals(settings))
    relaying = asyncio.create_task(relay.run())
    working = asyncio.create_task(worker.work_async(logging_level="CRITICAL"))
    try:
        yield Bench(cluster, database, pools.work, runner, relay)
    finally:
        await worker.stop(grace=0)
        await working
        relaying.cancel()
        with suppress(asyncio.CancelledError):
            await relaying
        for one in (transport, connection):
            one.close()
        await engine.dispose()
        await pools.close()
        await cluster.drop(database)
