"""The unit of work: one session, one transaction, one owner of the commit."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

from sqlalchemy import Executable, RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.core.context import Context
from app.core.events import ApplicationEvent, Event
from app.core.exceptions import SilentChangeError
from app.core.failures import translated
from app.core.limits import RateLimits
from app.core.reactions import Hub
from app.db.session import Database
from app.services import Services


class UnitOfWork:
    """Opens transactions; nothing else in the project commits.

    `sessions` serves the work itself. `reserve` serves what must be written beside it, from a pool of its own: a
    request that holds a connection and waits for a second one of the same pool could wait for ever.
    """

    def __init__(
        self,
        sessions: async_sessionmaker[Database],
        hub: Hub,
        reserve: async_sessionmaker[Database] | None = None,
        services: Services | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        self.sessions, self.hub, self.reserve = sessions, hub, reserve or sessions
        self.single: AsyncEngine = sessions.kw["bind"].execution_options(isolation_level="AUTOCOMMIT")
        """The pool of `sessions`, for statements that are a transaction each."""
        self.services, self.limits = services or Services(), limits or RateLimits()
        self.wake: Callable[[], None] = lambda: None
        """Tells the relay, wherever it is, that there is work; until it is replaced, the relay finds out by itself."""

    def begin(
        self,
        *,
        tenant_id: uuid.UUID | None = None,
        actor_id: uuid.UUID | None = None,
        request_id: str = "",
        address: str = "",
        read_only: bool = False,
    ) -> AbstractAsyncContextManager[Context]:
        """Open a transaction for a caller, in a tenant or outside all of them; see `run`."""
        session = self.sessions(tenant_id=tenant_id, actor_id=actor_id, read_only=read_only)
        ctx = Context(
            session,
            Transaction(self),
            tenant_id,
            actor_id,
            request_id=request_id,
            address=address,
            services=self.services,
            limits=self.limits,
        )
        return self.run(ctx)

    def beside(
        self, ctx: Context, *, tenant_id: uuid.UUID | None = None, read_only: bool = False
    ) -> AbstractAsyncContextManager[Context]:
        """Open another transaction for the same caller; one that writes takes its connection from the reserve."""
        tenant_id = tenant_id or ctx.tenant_id
        sessions = self.sessions if read_only else self.reserve
        session = sessions(tenant_id=tenant_id, actor_id=ctx.actor_id, read_only=read_only)
        return self.run(replace(ctx, session=session, work=Transaction(self), tenant_id=tenant_id))

    async def alone(self, statement: Executable, values: Mapping[str, Any]) -> RowMapping | None:
        """Run a statement that is a transaction of its own, in one round trip, and return its first row or None.

        No tenant is set: the statement names its tenant itself. Raises what `run` makes of the database's errors.
        """
        with translated():
            async with self.single.connect() as connection:
                return (await connection.execute(statement, values)).mappings().first()

    @asynccontextmanager
    async def run(self, ctx: Context) -> AsyncIterator[Context]:
        """Yield the Context; commit when the block ends well, roll back when it raises.

        The connection is taken, and BEGIN sent, by the first statement. Raises what `app.core.failures` makes of the
        database's errors, and `SilentChangeError` for an unannounced change.
        """
        work = ctx.work
        try:
            with translated(read_only=ctx.session.sync_session.read_only):
                yield ctx
                await ctx.session.flush()
                work.refuse_silence(ctx.session)
                await finish(ctx.session.commit())
        finally:
            await finish(ctx.session.close())
        await work.run_hooks()


class Transaction:
    """What one unit of work remembers, and does for its Context."""

    def __init__(self, unit: UnitOfWork) -> None:
        self.unit = unit
        self.announced = False
        self.hooks: list[Callable[[], Awaitable[None]]] = []
        self.awaited = False

    async def emit(self, ctx: Context, event: Event) -> None:
        """Tell the hub of a change."""
        self.announced = True
        await self.unit.hub.handle(ctx, event)

    async def track(self, ctx: Context, event: ApplicationEvent) -> None:
        """Tell the hub of an activity."""
        await self.unit.hub.track(ctx, event)

    def quiet(self, reason: str) -> None:
        """Excuse the transaction from announcing its changes; the reason must say something."""
        if not reason.strip():
            raise ValueError("quiet() needs a reason")
        self.announced = True

    def after_commit(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Keep something to do once the commit has happened."""
        self.hooks.append(hook)

    def refuse_silence(self, session: Database) -> None:
        """Raise `SilentChangeError` when rows of a tenant changed and nobody was told."""
        changed = session.sync_session.changed
        if changed and not self.announced:
            raise SilentChangeError(f"changed {', '.join(sorted(changed))}: emit an event, or say ctx.quiet('why')")

    def wake(self) -> None:
        """Once committed, say that the outbox holds something new."""
        self.awaited = True

    async def run_hooks(self) -> None:
        """Do what was kept for after the commit."""
        if self.awaited:
            self.unit.wake()
        for hook in self.hooks:
            await hook()

    def separate(self, ctx: Context, tenant_id: uuid.UUID | None) -> AbstractAsyncContextManager[Context]:
        """Open a unit of work of its own for the same caller."""
        return self.unit.beside(ctx, tenant_id=tenant_id)

    def reader(self, ctx: Context) -> AbstractAsyncContextManager[Context]:
        """Open a read-only unit of work of its own for the same caller."""
        return self.unit.beside(ctx, read_only=True)


async def finish(step: Coroutine[Any, Any, None]) -> None:
    """Run a step to its end, however often the caller is cancelled meanwhile; then let the cancellation through.

    A client that leaves, or a deadline, must not cut a commit in half.
    """
    task, cancelled = asyncio.ensure_future(step), None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        task.exception()
        raise cancelled
    task.result()
