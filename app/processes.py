"""How the processes of an installation are put together: pools, units of work, and what works beside requests."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.config import Settings, as_role
from app.core.inline import InlineTransport
from app.core.limits import RateLimits
from app.core.relay import Relay
from app.core.schedule import Scheduler
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.session import Database, Limits
from app.hub import MessageHub
from app.services import Services
from app.services.filesystem import FolderFiles, MemoryFiles
from app.services.mailer import FileMailer, MemoryMailer
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
    mail, files = config.mail, config.files
    return Services(
        mailer=FileMailer(Path(mail.folder), mail.sender) if mail.folder else MemoryMailer(),
        files=FolderFiles(Path(files.folder)) if files.folder else MemoryFiles(),
    )


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


@asynccontextmanager
async def inline(config: Settings, api: UnitOfWork, roles: Roles) -> AsyncIterator[None]:
    """Carry out, in the API's process and on its loop, what its requests leave in the outbox.

    It has pools of its own, so that work in the background never takes a request's connection.
    """
    pools = Pools.open(config, roles.worker, services=api.services, limits=api.limits)
    relay_engine = create_engine(config.database, roles.relay, 2)
    transport = InlineTransport(create_runner(pools.work, config), config.tasks.concurrency)
    relay = Relay(relay_engine, transport, config.tasks)
    scheduler = Scheduler(pools.work, SCHEDULE)
    transport.freed = pools.work.wake = api.wake = relay.wake
    running = asyncio.gather(relay.run(), scheduler.run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await transport.stop(GRACE)
        await relay_engine.dispose()
        await pools.close()
