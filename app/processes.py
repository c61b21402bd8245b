"""How the processes of an installation are put together: pools, units of work, and what works beside requests."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvloop
from redis import Redis
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.audit.chain import sequencer
from app.config import Settings
from app.core.broker import Announcer, BrokerTransport, SealedWorker, listen, queue
from app.core.inline import InlineTransport
from app.core.limits import RateLimits
from app.core.relay import Relay, Transport
from app.core.schedule import Scheduler
from app.core.seals import Seals
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.session import Database, Limits
from app.extensions.ratelimit import RateLimiter
from app.extensions.vault import looking_after_vault
from app.hub import MessageHub
from app.sections import as_role
from app.services import Services
from app.services.filesystem import open_store
from app.services.mailer import open_mailer
from app.utils.helpers import spare_loaded_objects
from app.worker import SCHEDULE, create_runner

GRACE = 10.0
"""Seconds that what runs has for its end when its process stops; then the outbox gets it back."""


@dataclass(frozen=True)
class Pools:
    """What a process works with: two pools of connections, and the unit of work that takes from them."""

    engine: AsyncEngine
    reserve: AsyncEngine
    work: UnitOfWork

    @classmethod
    def open(
        cls,
        config: Settings,
        url: str,
        *,
        services: Services | None = None,
        limits: RateLimits | None = None,
        info: Mapping[str, Any] | None = None,
    ) -> "Pools":
        """Return pools on an address; they connect when they are used."""
        engine = create_engine(config.database, url)
        reserve = create_engine(config.database, url, config.database.separate_pool_size)
        sessions, beside = (session_maker(config, one, info or {}) for one in (engine, reserve))
        return cls(engine, reserve, UnitOfWork(sessions, MessageHub, beside, services, limits))

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()
        await self.reserve.dispose()


def session_maker(config: Settings, engine: AsyncEngine, info: Mapping[str, Any]) -> async_sessionmaker[Database]:
    """Return what makes sessions on a pool."""
    limits = Limits(config.database.statement_timeout, config.database.lock_timeout, config.database.idle_timeout)
    # A closed session stays closed: what outlives its unit of work, such as a thread, must not begin another one.
    return async_sessionmaker(
        engine, class_=Database, expire_on_commit=False, close_resets_only=False, info=dict(info), limits=limits
    )


def outside_world(config: Settings) -> Services:
    """Return the clients of the outside world that the settings ask for."""
    return Services(
        mailer=open_mailer(config.mail),
        files=open_store(config.files),
    )


def shared_limits(config: Settings) -> RateLimits:
    """Return the limits, counted in the broker together with all other processes, or by this one without a broker."""
    secret = config.need("auth.signing_keys")[0].get_secret_value().encode()
    return RateLimits(config.limits, RateLimiter(config.broker.url, secret=secret))


@dataclass(frozen=True)
class Roles:
    """Where a process finds the database, by role."""

    worker: str
    relay: str

    @classmethod
    def of(cls, config: Settings, url: str | None = None) -> "Roles":
        """Return the configured addresses, or those beside another `url`."""
        prefix = config.database.role_prefix
        if url:
            return cls(as_role(url, f"{prefix}_worker"), as_role(url, f"{prefix}_relay"))
        return cls(config.need("database.worker_url"), config.need("database.relay_url"))


def in_background(config: Settings) -> Settings:
    """Return the settings with a connection for each run, and two more for those that give signs of life."""
    database = config.database.model_copy(update={"pool_size": config.tasks.concurrency + 2})
    return config.model_copy(update={"database": database})


@asynccontextmanager
async def relaying(config: Settings, url: str, transport: Transport) -> AsyncIterator[Relay]:
    """Run what works for all tenants while this is open: the relay, and the sequencer that chains the audit."""
    engine, stop = create_engine(config.database, url, 4, generic_plans=True), asyncio.Event()
    relay = Relay(engine, transport, config.tasks)
    relaying, chaining = asyncio.create_task(relay.run()), asyncio.create_task(sequencer(engine).run(stop))
    try:
        yield relay
    finally:
        stop.set()
        relaying.cancel()
        await asyncio.wait({relaying, chaining})
        await engine.dispose()


@asynccontextmanager
async def announcing(pools: Pools, broker: str) -> AsyncIterator[None]:
    """Tell the relay's process, after each commit that concerns it, that there is work."""
    announcer = Announcer(broker)
    pools.work.wake = announcer.wake
    try:
        yield
    finally:
        await announcer.close()


@asynccontextmanager
async def inline(config: Settings, api: Pools, roles: Roles) -> AsyncIterator[None]:
    """Carry out, in the API's process and on its loop, what its requests leave in the outbox.

    It has pools of its own, so that work in the background never takes a request's connection.
    """
    work, info = api.work, api.work.sessions.kw["info"]
    pools = Pools.open(in_background(config), roles.worker, services=work.services, limits=work.limits, info=info)
    transport = InlineTransport(create_runner(pools.work, config), config.tasks.concurrency)
    async with relaying(config, roles.relay, transport) as relay:
        transport.freed = pools.work.wake = work.wake = relay.wake
        scheduling = asyncio.create_task(Scheduler(pools.work, SCHEDULE).run())
        try:
            yield
        finally:
            scheduling.cancel()
            await asyncio.wait({scheduling})
            await transport.stop(GRACE)
            await pools.close()


def on_a_loop(process: Coroutine[Any, Any, None]) -> None:
    """Run a process to its end on uvloop, as uvicorn runs the API: a delivery then takes a sixth less time."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(process)


async def work(config: Settings, *, grace: float = GRACE, queues: Sequence[str] = ()) -> None:
    """Be a worker, until a signal: carry out what the relay sends; what runs then has `grace` seconds for its end.

    It serves `queues`, in this order, or all that there are.
    """
    broker, roles = config.need("broker.url"), Roles.of(config)
    services, limits = outside_world(config), shared_limits(config)
    pools = Pools.open(in_background(config), roles.worker, services=services, limits=limits)
    connection = Redis.from_url(broker)
    async with looking_after_vault(config), announcing(pools, broker):
        worker = SealedWorker(
            [queue(name, connection) for name in queues or config.tasks.queues],
            connection=connection,
            max_concurrency=config.tasks.concurrency,
            runner=create_runner(pools.work, config),
            seals=seals(config),
        )
        spare_loaded_objects()
        async with until_signalled(partial(worker.request_stop, grace=grace)):
            await worker.work_async(logging_level="WARNING")
    connection.close()
    await limits.limiter.close()
    await services.close()
    await pools.close()


async def relay(config: Settings) -> None:
    """Be a relay, until a signal."""
    broker = config.need("broker.url")
    transport = BrokerTransport(broker, seals(config), config.tasks)
    spare_loaded_objects()
    async with looking_after_vault(config), relaying(config, Roles.of(config).relay, transport) as one:
        listening = asyncio.create_task(listen(broker, one.wake))
        async with until_signalled(listening.cancel):
            await asyncio.wait({listening})
    transport.close()


async def schedule(config: Settings) -> None:
    """Be a scheduler, until a signal, which ends it between two transactions, or rolls one back."""
    pools = Pools.open(config, Roles.of(config).worker)
    scheduling = asyncio.create_task(Scheduler(pools.work, SCHEDULE).run())
    async with looking_after_vault(config), until_signalled(scheduling.cancel):
        await asyncio.wait({scheduling})
    await pools.close()
    if not scheduling.cancelled():
        scheduling.result()


def seals(config: Settings) -> Seals:
    """Return what seals the jobs of this installation."""
    return Seals([key.get_secret_value() for key in config.need("auth.signing_keys")])


@asynccontextmanager
async def until_signalled(stop: Callable[[], object]) -> AsyncIterator[None]:
    """Call `stop` at SIGTERM or SIGINT, while this is open."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
