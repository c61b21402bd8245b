"""What of billing nobody waits for."""

import uuid

from app.core.context import Context
from app.core.tasks import enqueue, task
from app.modules.billing.adapters.providers import payment_provider
from app.modules.billing.services import CalendarService, CollectionService, SubscriptionService

TIMEOUT = 60.0
RETRIES = 8


@task(name="billing.renew", timeout=TIMEOUT)
async def renew_subscription(ctx: Context, subscription_id: uuid.UUID) -> None:
    """Issue the invoice of a subscription's next period."""
    await SubscriptionService(ctx).renew(subscription_id)


@task(name="billing.collect", retries=RETRIES, timeout=TIMEOUT * 3)
async def collect_invoice(ctx: Context, invoice_id: uuid.UUID) -> None:
    """Make one attempt to collect an invoice."""
    await CollectionService(ctx, payment_provider()).collect(invoice_id)


@task(name="billing.tick", retries=0, timeout=3600, system=True)
async def bill_tenants(ctx: Context) -> int:
    """Leave in each tenant what is due there, each entry on its own; return how many tenants there were.

    What waits or runs already is not left twice.
    """
    tenants = await CalendarService(ctx).tenants()
    for tenant_id in tenants:
        async with ctx.separate(tenant_id) as inside:
            due = await CalendarService(inside).due()
            for subscription_id in due.subscriptions:
                await enqueue(inside, renew_subscription.but(unique=str(subscription_id)), subscription_id)
            for invoice_id in due.invoices:
                await enqueue(inside, collect_invoice.but(unique=str(invoice_id)), invoice_id)
    return len(tenants)
