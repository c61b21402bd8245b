"""Subscriptions over HTTP, and what time does to them: renewals, dunning, and the end."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from httpx2 import AsyncClient

from app.core.exceptions import TenantsFailedError
from app.core.limits import RateLimits
from app.db.tenancy import SYSTEM_TENANT_ID
from app.extensions.ratelimit import RateLimiter
from app.modules.billing.services import CalendarService, ReminderService
from app.modules.billing.tasks import bill_tenants
from app.sections import LimitSettings
from app.services.mailer import Mail, MemoryMailer
from tests.modules.billing.support import DECLINED, GOOD, Office, OnlyIn
from tests.support import register


async def test_a_subscription_is_billed_and_paid_at_once(office: Office) -> None:
    """The first invoice has its number, is charged after the commit, and shows the period."""
    subscription_id = await office.subscribe()
    invoice = await office.invoice_of(subscription_id)
    assert (invoice["number"], invoice["status"], invoice["attempts"]) == (1, "paid", 1)
    assert (invoice["net"], invoice["tax"], invoice["total"]) == (999, 190, 1189)
    assert invoice["payment"] == f"pi_{invoice['id']}:1"
    subscription = await office.get(f"/subscriptions/{subscription_id}")
    assert (subscription["status"], subscription["billed"]) == ("active", 1)
    assert subscription["due_at"] == invoice["period_end"]


async def test_a_trial_costs_nothing_until_it_is_over(office: Office) -> None:
    """Then the first period begins."""
    subscription_id = await office.subscribe(trial_days=14)
    assert (await office.get("/invoices"))["items"] == []
    await office.pass_time(days=14, seconds=1)
    assert (await office.get(f"/subscriptions/{subscription_id}"))["status"] == "active"
    assert (await office.invoice_of(subscription_id))["status"] == "paid"


async def test_a_period_is_billed_once_however_often_the_hour_strikes(office: Office) -> None:
    """Also when it strikes twice at once; a month later there is one more."""
    subscription_id = await office.subscribe()
    await office.pass_time(days=32)
    await asyncio.gather(office.strike(), office.strike())
    invoices = (await office.get("/invoices", subscription_id=subscription_id))["items"]
    assert [(one["number"], one["status"]) for one in invoices] == [(2, "paid"), (1, "paid")]


async def test_one_tenants_trouble_is_not_the_others(office: Office, client: AsyncClient) -> None:
    """It is told at the end, when all that can be billed is."""
    subscription_id, other = await office.subscribe(), await register(client)
    await office.rewind(days=32)
    async with office.work.begin(tenant_id=SYSTEM_TENANT_ID, read_only=True) as ctx:
        tenants = await CalendarService(ctx).tenants()
        broken = replace(ctx, work=OnlyIn(office.work, office.owner.tenant_id))
        with pytest.raises(TenantsFailedError, match=rf"^failed for {len(tenants) - 1} tenant"):
            await bill_tenants.function(broken)
    assert {office.owner.tenant_id, other.tenant_id} <= {*tenants}
    invoices = (await office.get("/invoices", subscription_id=subscription_id))["items"]
    assert [one["number"] for one in invoices] == [2, 1]


async def test_who_does_not_pay_is_reminded_and_then_cancelled(office: Office) -> None:
    """After each attempt comes a mail; after the last one the invoice is written off."""
    subscription_id = await office.subscribe(DECLINED)
    seen = []
    for days in (0, 1, 3, 7):
        if days:
            await office.pass_time(days=days, seconds=1)
        invoice = await office.invoice_of(subscription_id)
        subscription = await office.get(f"/subscriptions/{subscription_id}")
        seen.append((invoice["status"], invoice["attempts"], subscription["status"]))
    assert seen == [
        ("open", 1, "past_due"),
        ("open", 2, "past_due"),
        ("open", 3, "past_due"),
        ("uncollectible", 4, "cancelled"),
    ]
    texts = [mail.text for mail in await mails(office)]
    assert ["We try again on" in text for text in texts] == [True, True, True, False]
    assert all("11.89 EUR is not paid: Your card was declined." in text for text in texts)


async def test_who_pays_late_goes_on(office: Office) -> None:
    """With another payment method the next attempt succeeds."""
    subscription_id = await office.subscribe(DECLINED)
    invoice = await office.invoice_of(subscription_id)
    changed = await office.owner.call(
        "PATCH", f"/billing/customers/{invoice['customer_id']}", json={"payment_method": GOOD}
    )
    assert changed.status_code == 200, changed.text
    await office.pass_time(days=1, seconds=1)
    assert (await office.invoice_of(subscription_id))["status"] == "paid"
    assert (await office.get(f"/subscriptions/{subscription_id}"))["status"] == "active"


async def test_who_owes_nothing_any_more_goes_on(office: Office) -> None:
    """The invoice that failed is withdrawn: the subscription is billed again when its next period begins."""
    subscription_id = await office.subscribe(DECLINED)
    invoice = await office.invoice_of(subscription_id)
    assert (await office.post(f"/invoices/{invoice['id']}/void"))["failure"] is None
    assert (await office.get(f"/subscriptions/{subscription_id}"))["status"] == "active"
    await office.pass_time(days=32)
    assert [one["status"] for one in (await office.get("/invoices"))["items"]] == ["open", "void"]


async def test_who_pays_by_transfer_has_time(office: Office) -> None:
    """Nothing is wrong until the invoice is due; then a mail says so."""
    await office.subscribe(None)
    assert [one["attempts"] for one in (await office.get("/invoices"))["items"]] == [0]
    assert await mails(office) == []
    await office.pass_time(days=14, seconds=1)
    assert ["There is no payment method." in mail.text for mail in await mails(office)] == [True]


async def test_a_reminder_says_nothing_that_the_tenant_entered(office: Office) -> None:
    """The address is anybody's: nobody has a text of theirs sent to it, but for the tenant's own name."""
    await office.post(f"/invoices/{await office.draft(DECLINED, name='Win at evil.example')}/finalise")
    (mail,) = await mails(office)
    assert mail.text.startswith("Invoice 000001 of ")
    assert "evil.example" not in f"{mail.subject} {mail.text} {mail.html}"


async def test_reminders_are_bounded(office: Office, client: AsyncClient) -> None:
    """By their recipient, whichever tenant sends them; what is beyond is dropped."""
    address, mailer = f"{uuid.uuid4().hex}@example.com", office.work.services.mailer
    limits = RateLimits(LimitSettings(mail_recipient="1/hour"), RateLimiter())
    assert isinstance(mailer, MemoryMailer)
    for one in (office, replace(office, owner=await register(client))):
        invoice_id = await one.draft(DECLINED, email=address)
        await one.post(f"/invoices/{invoice_id}/finalise")
        assert (await one.get(f"/invoices/{invoice_id}"))["failure"]
        async with one.work.begin(tenant_id=one.owner.tenant_id) as ctx:
            bounded = replace(ctx, limits=limits, entry_id=uuid.uuid4())
            await ReminderService(bounded).send(uuid.UUID(invoice_id))
    assert len(mailer.to(address)) == 3, "one of each tenant without this bound, one of both with it"


async def test_a_rest_and_its_end(office: Office) -> None:
    """Nothing is billed meanwhile; a move that is not possible is refused in words."""
    subscription_id = await office.subscribe()
    path = f"/subscriptions/{subscription_id}"
    assert (await office.post(f"{path}/pause"))["status"] == "paused"
    refused = await office.post(f"{path}/pause", 409)
    assert (refused["code"], refused["detail"]) == ("illegal_move", "A subscription that is paused cannot pause.")
    await office.pass_time(days=100)
    assert len((await office.get("/invoices"))["items"]) == 1
    assert (await office.post(f"{path}/resume"))["status"] == "active"
    assert len((await office.get("/invoices"))["items"]) == 2
    assert (await office.post(f"{path}/cancel"))["due_at"] is None


async def test_nobody_subscribes_to_what_is_archived(office: Office) -> None:
    """Who has it keeps it."""
    subscription_id = await office.subscribe()
    subscription = await office.get(f"/subscriptions/{subscription_id}")
    await office.post(f"/plans/{subscription['plan_id']}/archive")
    body = {name: subscription[name] for name in ("plan_id", "customer_id")}
    assert (await office.post("/subscriptions", 409, **body))["code"] == "plan_archived"
    await office.pass_time(days=32)
    assert len((await office.get("/invoices"))["items"]) == 2


@pytest.mark.parametrize("path", ["/plans", "/customers", "/subscriptions", "/invoices"])
async def test_a_tenant_without_billing_has_none(office: Office, path: str) -> None:
    """Switched off, it answers nobody, and nothing falls due."""
    await office.subscribe()
    switched = await office.owner.call("PATCH", "/tenants/current", json={"disabled_modules": ["billing"]})
    assert switched.status_code == 200, switched.text
    assert (await office.owner.call("GET", f"/billing{path}")).json()["code"] == "module_disabled"


async def mails(office: Office) -> Sequence[Mail]:
    """Return the mails to the tenant's only customer."""
    (customer,) = (await office.get("/customers"))["items"]
    mailer = office.work.services.mailer
    assert isinstance(mailer, MemoryMailer)
    return mailer.to(customer["email"])
