"""Who asks, for which tenant, in which transaction: the one argument of every service."""

import uuid
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Protocol

from app.core.events import ApplicationEvent, Event
from app.core.limits import RateLimits
from app.db.session import Database
from app.exceptions import UnauthenticatedError
from app.services import Services


@dataclass(frozen=True, slots=True)
class OwnMembership:
    """One of the caller's places: the tenant, its name, and the caller's role in it."""

    tenant_id: uuid.UUID
    tenant_name: str
    role: str


@dataclass(frozen=True, slots=True)
class CurrentUser:
    """The caller, as the gate read it in this very transaction.

    `session_id` is None for who acts by an API key. `memberships` holds the selected tenant's one; for operations
    without a tenant, all of them.
    """

    id: uuid.UUID
    email: str
    full_name: str
    is_superuser: bool
    session_id: uuid.UUID | None
    memberships: tuple[OwnMembership, ...] = ()


class Work(Protocol):
    """What the unit of work does for its Context."""

    async def emit(self, ctx: "Context", event: Event) -> None:
        """Tell the hub of a change."""

    async def track(self, ctx: "Context", event: ApplicationEvent) -> None:
        """Tell the hub of an activity."""

    def quiet(self, reason: str) -> None:
        """Excuse this unit of work from announcing its changes."""

    def after_commit(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Keep something to do once the commit has happened."""

    def refuse_silence(self, session: Database) -> None:
        """Raise `SilentChangeError` when rows of a tenant changed and nobody was told."""

    def wake(self) -> None:
        """Once committed, say that the outbox holds something new."""

    async def run_hooks(self) -> None:
        """Do what was kept for after the commit."""

    def separate(self, ctx: "Context", tenant_id: uuid.UUID | None) -> "AbstractAsyncContextManager[Context]":
        """Open a unit of work of its own, to commit whatever becomes of this one."""

    def reader(self, ctx: "Context") -> "AbstractAsyncContextManager[Context]":
        """Open a read-only unit of work of its own."""


@dataclass(frozen=True, slots=True)
class Context:
    """An immutable caller, tenant and transaction. Services are built with one and pass it on to those they use.

    `address` is the client's, as far as the proxies that are trusted say; `services` is the outside world; `limits`
    bounds how often something may be asked for. `on_behalf_of` is the person a service account acts for; `entry_id` is
    the entry of the outbox that this unit of work carries out.
    """

    session: Database
    work: Work
    tenant_id: uuid.UUID | None = None
    actor_id: uuid.UUID | None = None
    on_behalf_of: uuid.UUID | None = None
    user: CurrentUser | None = None
    permissions: frozenset[str] = frozenset()
    request_id: str = ""
    address: str = ""
    entry_id: uuid.UUID | None = None
    services: Services = field(default_factory=Services)
    limits: RateLimits = field(default_factory=RateLimits)

    @property
    def current_user(self) -> CurrentUser:
        """The person who calls; raises `UnauthenticatedError` where there is none, as for a service account."""
        if self.user is None:
            raise UnauthenticatedError
        return self.user

    async def emit(self, event: Event) -> None:
        """Announce a change: its handlers of this transaction run now, its audit row is written; all or nothing."""
        await self.work.emit(self, event)

    async def track(self, event: ApplicationEvent) -> None:
        """Record an activity that changes nothing, in a transaction of its own that a refusal does not undo."""
        await self.work.track(self, event)

    def quiet(self, reason: str) -> None:
        """Let this transaction change rows of the tenant without an event; `reason` is for the reader of the code."""
        self.work.quiet(reason)

    async def enter(self, tenant_id: uuid.UUID, *, actor_id: uuid.UUID | None = None) -> "Context":
        """Return the context inside a tenant, same transaction; once, for a unit of work that began without one.

        `actor_id` is for the moment in which the caller becomes known: registration, sign-in.
        Raises `TenantViolationError` when it has a tenant already or holds a tenant's rows.
        """
        await self.session.enter(tenant_id)
        return replace(self, tenant_id=tenant_id, actor_id=actor_id or self.actor_id)

    def separate(self, tenant_id: uuid.UUID | None = None) -> "AbstractAsyncContextManager[Context]":
        """Open a unit of work for a security write that a refusal must not roll back; `tenant_id` where it differs.

        Or for one step of slow work that holds no connection in between, such as an upload. It takes its connection
        from a small pool of its own, so that it never waits for requests that wait for it.
        """
        return self.work.separate(self, tenant_id)

    def reader(self) -> "AbstractAsyncContextManager[Context]":
        """Open a short read-only unit of work: to read before slow work, or inside a streamed answer."""
        return self.work.reader(self)
