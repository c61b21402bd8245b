"""A relay and a runner with tasks of the tests' own, on a database of their own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from app.config import settings
from app.core.inline import InlineTransport
from app.core.outbox import Outbox, OutboxEntry
from app.core.relay import Relay
from app.core.runner import Runner, registry
from app.core.tasks import Handle, Task, TaskState, enqueue
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.tenancy import SYSTEM_TENANT_ID
from app.processes import Pools, Roles
from tests.support import Cluster

SOMEBODY = uuid.uuid4()
DEADLINE = 20.0
"""Seconds that a test waits at most."""


@dataclass(frozen=True)
class Bench:
    """Where tasks are enqueued and carried out; `runner` for the tests that run one themselves."""

    cluster: Cluster
    database: str
    work: UnitOfWork
    runner: Runner
    relay: Relay

    async def tenant(self) -> uuid.UUID:
        """Make a tenant."""
        made = "insert into tenants (id, name, version) values (gen_random_uuid(), 'bench', 1) returning id"
        ((tenant_id,),) = await self.cluster.rows(self.database, made)
        found: uuid.UUID = tenant_id
        return found

    async def put(self, tenant_id: uuid.UUID | None, task: Task[Any], *args: Any, **kwargs: Any) -> Handle:
        """Enqueue a task in a transaction of its own; without a tenant, as the system."""
        async with self.work.begin(tenant_id=tenant_id or SYSTEM_TENANT_ID, actor_id=SOMEBODY) as ctx:
            return await enqueue(ctx, task, *args, **kwargs)

    async def see(self, tenant_id: uuid.UUID | None, task: Task[Any], *args: Any, **kwargs: Any) -> TaskState:
        """Enqueue a task, and return how it ended."""
        handle = await self.put(tenant_id, task, *args, **kwargs)
        return await handle.wait(DEADLINE)

    async def entry(self, handle: Handle) -> OutboxEntry:
        """Return a task's entry."""
        async with self.work.begin(tenant_id=handle.ctx.tenant_id, read_only=True) as ctx:
            found = await Outbox(ctx).find(handle.id)
        assert found is not None
        return found

    async def until(self, handle: Handle, *statuses: str) -> OutboxEntry:
        """Return an entry once it has one of these statuses."""

        async def there() -> bool:
            return (await self.entry(handle)).status in statuses

        await eventually(there)
        return await self.entry(handle)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once a condition holds."""
    async with asyncio.timeout(DEADLINE):
        while not await condition():  # noqa: ASYNC110 - what changes is in the database
            await asyncio.sleep(0.01)


@asynccontextmanager
async def open_bench(cluster: Cluster, tasks: Sequence[Task[Any]]) -> AsyncIterator[Bench]:
    """Yield a bench on a new database, which is thrown away afterwards."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    roles = Roles.of(settings, cluster.url("app_rw", database))
    pools = Pools.open(settings, roles.worker)
    engine = create_engine(settings.database, roles.relay, 2)
    runner = Runner(pools.work, registry(((task.name, None), task) for task in tasks), settings.tasks)
    transport = InlineTransport(runner, settings.tasks.concurrency)
    relay = Relay(engine, transport, settings.tasks)
    transport.freed = pools.work.wake = relay.wake
    running = asyncio.create_task(relay.run())
    try:
        yield Bench(cluster, database, pools.work, runner, relay)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await transport.stop(5)
        await engine.dispose()
        await pools.close()
        await cluster.drop(database)
