"""What is due today, in which tenant."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from app.core.context import Context
from app.modules.billing.repository import InvoiceRepository, SubscriptionRepository
from app.tenants.services import DirectoryService
from app.utils.helpers import utcnow

MODULE = "billing"


@dataclass(frozen=True, slots=True)
class Due:
    """What a tenant has to do: subscriptions to renew, and invoices to collect."""

    subscriptions: Sequence[uuid.UUID]
    invoices: Sequence[uuid.UUID]


class CalendarService:
    """Find what is due."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def tenants(self) -> list[uuid.UUID]:
        """Return the tenants that bill; for a unit of work of the system."""
        return await DirectoryService(self.ctx).using(MODULE)

    async def due(self) -> Due:
        """Return what the context's tenant has to do now."""
        session, now = self.ctx.session, utcnow()
        return Due(await SubscriptionRepository(session).due(now), await InvoiceRepository(session).due(now))
