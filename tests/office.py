"""An application on a database of its own, whose mailer refuses whom it is told to refuse."""

import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from httpx2 import ASGITransport, AsyncClient

from app.config import Settings, settings
from app.core.unit_of_work import UnitOfWork
from app.main import create_app
from app.processes import Pools
from app.services import Services
from app.services.mailer import Mail
from tests.support import Caller, Cluster, settled

QUICK = {"poll_seconds": 0.02, "retry_seconds": 0.01, "retry_longest_seconds": 0.01}
NEWS = "New project"


@dataclass
class PickyMailer:
    """Keeps what it is given, but for the addresses of `refused`, each as often as it says."""

    refused: dict[str, int] = field(default_factory=dict)
    sent: list[Mail] = field(default_factory=list)
    attempts: list[Mail] = field(default_factory=list)

    async def send(self, mail: Mail) -> None:
        """Take a message, or refuse it as a mail server would."""
        self.attempts.append(mail)
        left = self.refused.get(mail.to, 0)
        if left:
            self.refused[mail.to] = left - 1
            raise OSError(f"550 nobody of that name: {mail.to}")
        self.sent.append(mail)

    def news(self, *, refused: bool = False) -> list[Mail]:
        """Return the mails of projects that were sent; the attempts at them, too, on request."""
        return [mail for mail in (self.attempts if refused else self.sent) if mail.subject.startswith(NEWS)]


@dataclass(frozen=True)
class Office:
    """A database and the mailer of the applications that run on it, one after the other."""

    cluster: Cluster
    database: str
    mailer: PickyMailer

    @asynccontextmanager
    async def open(self) -> AsyncIterator[AsyncClient]:
        """Start an application, and yield somebody who calls it."""
        app = create_app(quick(), url=self.cluster.url("app_rw", self.database), services=Services(mailer=self.mailer))
        async with app.router.lifespan_context(app):
            transport = ASGITransport(app, raise_app_exceptions=False)
            async with AsyncClient(transport=transport, base_url="http://test/api/v1") as client:
                yield client

    @asynccontextmanager
    async def without_relay(self) -> AsyncIterator[UnitOfWork]:
        """Yield what opens transactions in a process that does nothing with what it leaves in the outbox."""
        pools = Pools.open(settings, self.cluster.url("app_rw", self.database))
        try:
            yield pools.work
        finally:
            await pools.close()

    async def settle(self) -> None:
        """Wait until nothing in the outbox is due or under way."""
        await settled(self.cluster, self.database)

    async def verify(self, *callers: Caller) -> None:
        """Let people's addresses be proven."""
        query = "update users set email_verified_at = now() where id = any(:ids) returning 1"
        await self.cluster.rows(self.database, query, ids=[caller.user_id for caller in callers])

    async def rows(self, query: str, **values: Any) -> list[Any]:
        """Return what a query finds, past every policy."""
        return await self.cluster.rows(self.database, query, **values)


def quick() -> Settings:
    """Return settings with which what failed is tried again at once."""
    return settings.model_copy(update={"tasks": settings.tasks.model_copy(update=QUICK)})


@asynccontextmanager
async def found_office(cluster: Cluster) -> AsyncIterator[Office]:
    """Make a database for an office, and drop it afterwards."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    try:
        yield Office(cluster, database, PickyMailer())
    finally:
        await cluster.drop(database)


async def choose(caller: Caller, **preferences: bool) -> Mapping[str, bool]:
    """Change how somebody is told, and return what holds then."""
    answer = await caller.call("PATCH", "/notifications/preferences", json=preferences)
    assert answer.status_code == 200, answer.text
    chosen: Mapping[str, bool] = answer.json()
    return chosen
