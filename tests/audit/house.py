"""An audit in a database of its own, which may be tampered with: what somebody with all rights could do."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from app.audit.adapters import AnchorFile
from app.audit.chain import Sequencer
from app.audit.verify import BadRowError, Report, Verifier
from app.config import settings
from app.core.events import ApplicationEvent
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.session import Database
from app.hub import MessageHub
from tests.support import Cluster

TENANT = "insert into tenants (id, name, version) values (:id, 'some', 1) returning id"


class SomethingDone(ApplicationEvent):
    """What these tests write."""

    action = "thing.done"


@dataclass(frozen=True)
class House:
    """An application's unit of work, the relay's engine, and an anchor, on one database."""

    cluster: Cluster
    database: str
    work: UnitOfWork
    relay: AsyncEngine
    application: AsyncEngine
    superuser: AsyncEngine
    anchor: AnchorFile

    @property
    def sequencer(self) -> Sequencer:
        """Return a new sequencer with the anchor."""
        return Sequencer(self.relay, self.anchor)

    async def sql(self, query: str, **values: Any) -> list[Any]:
        """Run a statement as the superuser; one that writes returns something."""
        async with self.superuser.begin() as connection:
            return list(await connection.execute(text(query), values))

    async def tenant(self) -> uuid.UUID:
        """Make a tenant."""
        [[made]] = await self.sql(TENANT, id=uuid.uuid4())
        found: uuid.UUID = made
        return found

    async def write(self, tenant: uuid.UUID, count: int = 1, **after: Any) -> None:
        """Let the application leave entries, one transaction each."""
        for number in range(count):
            async with self.work.begin(tenant_id=tenant, actor_id=uuid.uuid4(), request_id="r", address="::1") as ctx:
                await ctx.track(SomethingDone(after={"n": number, **after}))

    async def chained(self, tenant: uuid.UUID) -> list[Any]:
        """Return a tenant's links, in order."""
        return await self.sql("select * from audit_chain where tenant_id = :tenant order by seq", tenant=tenant)

    async def verify(self, tenant: uuid.UUID | None = None, *, anchor: bool = True) -> Report:
        """Verify; raise `BadRowError` for the first bad row."""
        return await Verifier(self.application, self.relay, self.anchor if anchor else None).run(tenant)

    async def fault(self, *, anchor: bool = True) -> str:
        """Return what verifying finds, nothing for an audit that is whole."""
        try:
            await self.verify(anchor=anchor)
        except BadRowError as error:
            return str(error)
        return ""

    @asynccontextmanager
    async def as_role(self, role: str) -> AsyncIterator[AsyncConnection]:
        """Yield a connection as one of the database's roles."""
        engine = create_async_engine(self.cluster.url(role, self.database), poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()


@asynccontextmanager
async def open_house(cluster: Cluster, folder: Path) -> AsyncIterator[House]:
    """Yield a new one, which is thrown away afterwards."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    engine = create_engine(settings.database, cluster.url("app_rw", database))
    relay = create_engine(settings.database, cluster.url("app_relay", database))
    application = create_async_engine(cluster.url("app_rw", database), poolclass=NullPool)
    superuser = create_async_engine(cluster.url("postgres", database))
    work = UnitOfWork(async_sessionmaker(engine, class_=Database, expire_on_commit=False), MessageHub)
    try:
        yield House(cluster, database, work, relay, application, superuser, AnchorFile(folder / "anchor.json"))
    finally:
        for one in (engine, relay, application, superuser):
            await one.dispose()
        await cluster.drop(database)
