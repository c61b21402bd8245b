"""What there is to subscribe to, and who may be billed."""

import uuid

from app.core.context import Context
from app.modules.billing.adapters.providers import payment_provider
from app.modules.billing.events import CustomerCreated, CustomerUpdated, PlanArchived, PlanCreated
from app.modules.billing.models import Customer, Money, Plan
from app.modules.billing.repository import CustomerRepository, PlanRepository
from app.modules.billing.schemas import (
    CustomerCreate,
    CustomerResponse,
    CustomerUpdate,
    PlanCreate,
    PlanResponse,
)
from app.modules.billing.services.announcing import announce
from app.utils.helpers import uuid7
from app.utils.schemas import Page, PageQuery


class PlanService:
    """The plans of the context's tenant. A price never changes: archive the plan and make another."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.plans = ctx, PlanRepository(ctx.session)

    async def create(self, data: PlanCreate) -> PlanResponse:
        """Add a plan."""
        price = Money.model_validate(data.model_dump(include={"amount", "currency"}))
        plan = Plan(id=uuid7(), price=price, **data.model_dump(exclude={"amount", "currency"}))
        await self.plans.insert(plan)
        await announce(self.ctx, PlanCreated, None, plan)
        return await self.plans.show(plan.id)

    async def list(self, query: PageQuery) -> Page[PlanResponse]:
        """Return one page of plans."""
        return await self.plans.list(query)

    async def archive(self, plan_id: uuid.UUID) -> PlanResponse:
        """Take a plan out of the offer; idempotent. Raises `PlanNotFoundError`."""
        before = await self.plans.load(plan_id, locked=True)
        after = before.but(archived=True)
        await self.plans.save(after)
        await announce(self.ctx, PlanArchived, before, after)
        return await self.plans.show(plan_id)


class CustomerService:
    """The customers of the context's tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.customers = ctx, CustomerRepository(ctx.session)

    async def create(self, data: CustomerCreate) -> CustomerResponse:
        """Add a customer; raises `PaymentsNotConfiguredError` for a payment method that nobody could use."""
        if data.payment_method is not None:
            payment_provider()
        customer = Customer(id=uuid7(), **data.model_dump())
        await self.customers.insert(customer)
        await announce(self.ctx, CustomerCreated, None, customer)
        return await self.customers.show(customer.id)

    async def list(self, query: PageQuery) -> Page[CustomerResponse]:
        """Return one page of customers."""
        return await self.customers.list(query)

    async def get(self, customer_id: uuid.UUID) -> CustomerResponse:
        """Return one customer; raises `CustomerNotFoundError`."""
        return await self.customers.show(customer_id)

    async def update(self, customer_id: uuid.UUID, data: CustomerUpdate) -> CustomerResponse:
        """Change what `data` names; the provider meets the customer with each payment method once."""
        changes = data.model_dump(exclude_unset=True)
        before = await self.customers.load(customer_id, locked=True)
        method = changes.pop("payment_method", before.payment_method)
        if method != before.payment_method:
            payment_provider()
        after = before.paying_by(method).but(**changes)
        await self.customers.save(after)
        await announce(self.ctx, CustomerUpdated, before, after)
        return await self.customers.show(customer_id)
