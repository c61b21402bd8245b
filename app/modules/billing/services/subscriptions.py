"""Who subscribes to what, and how that goes on."""

import datetime as dt
import uuid

from app.core.context import Context
from app.modules.billing.builders import invoice_of_period
from app.modules.billing.events import SubscriptionMoved, SubscriptionStarted
from app.modules.billing.exceptions import PlanArchivedError
from app.modules.billing.models import SUBSCRIPTION_MOVES, Subscription, SubscriptionStatus
from app.modules.billing.repository import (
    CustomerRepository,
    InvoiceRepository,
    PlanRepository,
    SubscriptionRepository,
)
from app.modules.billing.schemas import SubscriptionCreate, SubscriptionQuery, SubscriptionResponse
from app.modules.billing.services.announcing import announce
from app.modules.billing.services.invoices import InvoiceService
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page


class SubscriptionService:
    """The subscriptions of the context's tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.subscriptions = ctx, SubscriptionRepository(ctx.session)
        self.plans, self.customers = PlanRepository(ctx.session), CustomerRepository(ctx.session)
        self.invoices, self.owed = InvoiceService(ctx), InvoiceRepository(ctx.session)

    async def start(self, data: SubscriptionCreate) -> SubscriptionResponse:
        """Begin a subscription: on trial, or with the first invoice. Raises `PlanArchivedError`, and for what is not.

        That is `CustomerNotFoundError` and `PlanNotFoundError`.
        """
        customer, plan = await self.customers.load(data.customer_id), await self.plans.load(data.plan_id, locked=True)
        if plan.archived:
            raise PlanArchivedError
        anchor = utcnow() + dt.timedelta(days=plan.trial_days)
        subscription = Subscription(
            id=uuid7(),
            customer_id=customer.id,
            plan_id=plan.id,
            status=SubscriptionStatus.trialing if plan.trial_days else SubscriptionStatus.active,
            discount=data.discount,
            anchor=anchor,
            due_at=anchor,
        )
        await self.subscriptions.insert(subscription)
        await announce(self.ctx, SubscriptionStarted, None, subscription)
        await self.renew(subscription.id)
        return await self.subscriptions.show(subscription.id)

    async def list(self, query: SubscriptionQuery) -> Page[SubscriptionResponse]:
        """Return one page of subscriptions."""
        return await self.subscriptions.list(query)

    async def get(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """Return one subscription; raises `SubscriptionNotFoundError`."""
        return await self.subscriptions.show(subscription_id)

    async def pause(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """Let a subscription rest; raises `IllegalMoveError`."""
        before = await self.subscriptions.load(subscription_id, locked=True)
        return await self._save(before, before.moved("pause"))

    async def resume(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """End a rest; raises `IllegalMoveError`. What is due then is billed at once, unless something is owed."""
        before = await self.subscriptions.load(subscription_id, locked=True)
        plan = await self.plans.load(before.plan_id)
        await self._save(before, before.resumed(plan.interval, utcnow()))
        if await self.owed.has_failed(subscription_id):
            await self.follow(subscription_id, "miss")
        await self.renew(subscription_id)
        return await self.subscriptions.show(subscription_id)

    async def cancel(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """End a subscription for good, now; raises `IllegalMoveError`. What was issued is still owed."""
        before = await self.subscriptions.load(subscription_id, locked=True)
        return await self._save(before, before.moved("cancel"))

    async def renew(self, subscription_id: uuid.UUID) -> None:
        """Issue the invoice of the next period, if it has begun; may be called at any time, and by two at once."""
        before = await self.subscriptions.load(subscription_id, locked=True)
        if not before.is_due(utcnow()):
            return
        plan, customer = await self.plans.load(before.plan_id), await self.customers.load(before.customer_id)
        draft = invoice_of_period(before, plan, customer)
        await self.invoices.add(draft)
        await self._save(before, before.renewed(plan.interval))
        await self.invoices.issue(draft, customer)

    async def settle(self, subscription_id: uuid.UUID | None) -> None:
        """Let a subscription catch up, unless another invoice of it has failed.

        That is asked under its lock: of two invoices that are settled at once, the later one finds none.
        """
        if subscription_id is None:
            return
        await self.subscriptions.load(subscription_id, locked=True)
        if not await self.owed.has_failed(subscription_id):
            await self.follow(subscription_id, "settle")

    async def follow(self, subscription_id: uuid.UUID | None, move: str) -> None:
        """Make the move that an invoice's payment means for its subscription, where its state knows it."""
        if subscription_id is None:
            return
        before = await self.subscriptions.load(subscription_id, locked=True)
        if (before.status, move) in SUBSCRIPTION_MOVES:
            await self._save(before, before.moved(move))

    async def _save(self, before: Subscription, after: Subscription) -> SubscriptionResponse:
        """Write a move and announce it."""
        await self.subscriptions.save(after)
        await announce(self.ctx, SubscriptionMoved, before, after)
        return await self.subscriptions.show(after.id)
