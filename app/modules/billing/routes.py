"""HTTP of billing."""

import uuid
from typing import Annotated

from fastapi import Header, Query, Request

from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.modules.billing.permissions import BillingPermission
from app.modules.billing.schemas import (
    CustomerCreate,
    CustomerResponse,
    CustomerUpdate,
    InvoiceCreate,
    InvoiceDetail,
    InvoiceQuery,
    InvoiceResponse,
    PaymentCreate,
    PlanCreate,
    PlanResponse,
    SubscriptionCreate,
    SubscriptionQuery,
    SubscriptionResponse,
)
from app.modules.billing.services import (
    CustomerService,
    InvoiceService,
    PaymentService,
    PlanService,
    SubscriptionService,
    WebhookService,
)
from app.utils.schemas import DefaultResponse, Page, PageQuery

router = Router(prefix="/billing", tags=["billing"], module="billing")


@cbv(router)
class PlanRoutes:
    """What the selected tenant offers."""

    plans: PlanService

    @router.post("/plans", status_code=201)
    @access_control(BillingPermission.manage)
    async def create(self, data: PlanCreate) -> PlanResponse:
        """Create a plan; its price never changes."""
        return await self.plans.create(data)

    @router.get("/plans")
    @access_control(BillingPermission.read)
    async def list(self, query: Annotated[PageQuery, Query()]) -> Page[PlanResponse]:
        """List plans, newest first."""
        return await self.plans.list(query)

    @router.post("/plans/{plan_id}/archive")
    @access_control(BillingPermission.manage)
    async def archive(self, plan_id: uuid.UUID) -> PlanResponse:
        """Take a plan out of the offer; who has it keeps it."""
        return await self.plans.archive(plan_id)


@cbv(router)
class CustomerRoutes:
    """Whom the selected tenant bills."""

    customers: CustomerService

    @router.post("/customers", status_code=201)
    @access_control(BillingPermission.manage)
    async def create(self, data: CustomerCreate) -> CustomerResponse:
        """Enter a customer."""
        return await self.customers.create(data)

    @router.get("/customers")
    @access_control(BillingPermission.read)
    async def list(self, query: Annotated[PageQuery, Query()]) -> Page[CustomerResponse]:
        """List customers, newest first."""
        return await self.customers.list(query)

    @router.get("/customers/{customer_id}")
    @access_control(BillingPermission.read)
    async def get(self, customer_id: uuid.UUID) -> CustomerResponse:
        """Show one customer."""
        return await self.customers.get(customer_id)

    @router.patch("/customers/{customer_id}")
    @access_control(BillingPermission.manage)
    async def update(self, customer_id: uuid.UUID, data: CustomerUpdate) -> CustomerResponse:
        """Change a customer; what was issued keeps its words."""
        return await self.customers.update(customer_id, data)


@cbv(router)
class SubscriptionRoutes:
    """Who subscribes to what."""

    subscriptions: SubscriptionService

    @router.post("/subscriptions", status_code=201)
    @access_control(BillingPermission.manage)
    async def start(self, data: SubscriptionCreate) -> SubscriptionResponse:
        """Begin a subscription: on trial, or with its first invoice."""
        return await self.subscriptions.start(data)

    @router.get("/subscriptions")
    @access_control(BillingPermission.read)
    async def list(self, query: Annotated[SubscriptionQuery, Query()]) -> Page[SubscriptionResponse]:
        """List subscriptions, newest first."""
        return await self.subscriptions.list(query)

    @router.get("/subscriptions/{subscription_id}")
    @access_control(BillingPermission.read)
    async def get(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """Show one subscription."""
        return await self.subscriptions.get(subscription_id)

    @router.post("/subscriptions/{subscription_id}/pause")
    @access_control(BillingPermission.manage)
    async def pause(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """Let a subscription rest; nothing is billed until it is resumed."""
        return await self.subscriptions.pause(subscription_id)

    @router.post("/subscriptions/{subscription_id}/resume")
    @access_control(BillingPermission.manage)
    async def resume(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """End a rest: within a period that was billed it goes on, later a new one begins."""
        return await self.subscriptions.resume(subscription_id)

    @router.post("/subscriptions/{subscription_id}/cancel")
    @access_control(BillingPermission.manage)
    async def cancel(self, subscription_id: uuid.UUID) -> SubscriptionResponse:
        """End a subscription for good."""
        return await self.subscriptions.cancel(subscription_id)


@cbv(router)
class InvoiceRoutes:
    """What customers of the selected tenant owe."""

    invoices: InvoiceService
    payments: PaymentService

    @router.post("/invoices", status_code=201)
    @access_control(BillingPermission.manage)
    async def draft(self, data: InvoiceCreate) -> InvoiceDetail:
        """Write an invoice by hand, as a draft."""
        return await self.invoices.draft(data)

    @router.get("/invoices")
    @access_control(BillingPermission.read)
    async def list(self, query: Annotated[InvoiceQuery, Query()]) -> Page[InvoiceResponse]:
        """List invoices, newest first, without their lines."""
        return await self.invoices.list(query)

    @router.get("/invoices/{invoice_id}")
    @access_control(BillingPermission.read)
    async def get(self, invoice_id: uuid.UUID) -> InvoiceDetail:
        """Show one invoice."""
        return await self.invoices.get(invoice_id)

    @router.post("/invoices/{invoice_id}/finalise")
    @access_control(BillingPermission.manage)
    async def finalise(self, invoice_id: uuid.UUID) -> InvoiceDetail:
        """Issue a draft: it gets the next number, and never changes again."""
        return await self.invoices.finalise(invoice_id)

    @router.post("/invoices/{invoice_id}/void")
    @access_control(BillingPermission.manage)
    async def void(self, invoice_id: uuid.UUID) -> InvoiceDetail:
        """Withdraw an invoice that is not paid; its number stays taken, and its subscription goes on."""
        return await self.payments.void(invoice_id)

    @router.post("/invoices/{invoice_id}/payments")
    @access_control(BillingPermission.manage)
    async def record(self, invoice_id: uuid.UUID, data: PaymentCreate) -> InvoiceDetail:
        """Note that an invoice was paid another way, such as by bank transfer."""
        return await self.payments.record(invoice_id, data.reference)


# No module is asked for: a payment that comes after a tenant switched billing off is money all the same.
hooks = Router(prefix="/billing", tags=["billing"])


@cbv(hooks)
class WebhookRoutes:
    """What the payment provider calls."""

    events: WebhookService

    @hooks.post("/webhooks/stripe")
    @access_control(open=True)
    async def stripe(
        self, request: Request, signature: Annotated[str, Header(alias="Stripe-Signature", max_length=2000)] = ""
    ) -> DefaultResponse:
        """Take in an event that Stripe has signed; sent again, it changes nothing."""
        await self.events.take(await request.body(), signature)
        return DefaultResponse(msg="The event was taken in.")
