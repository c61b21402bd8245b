"""What Stripe tells: believed only when signed, taken in once, in whatever order it comes."""

import asyncio
import uuid
from collections import Counter
from typing import Any

import pytest
from httpx2 import AsyncClient, Response
from pydantic import SecretStr

from app.config import settings
from app.modules.billing.models import Currency, Money
from app.modules.billing.services import PaymentService
from tests.modules.billing.fake_stripe import event, signed
from tests.modules.billing.support import GOOD, LATE, Office

SECRET = settings.billing.webhook_secret or SecretStr("")
AT_ONCE = 8


async def send(client: AsyncClient, body: dict[str, Any], *, times: int = 1) -> Response:
    """Send an event as Stripe does, so often at once; return an answer, which all have."""
    content, headers = signed(body, SECRET)
    sent = (client.post("/billing/webhooks/stripe", content=content, headers=headers) for _ in range(times))
    answers = await asyncio.gather(*sent)
    assert len({answer.status_code for answer in answers}) == 1
    return answers[0]


async def actions(office: Office) -> Counter[str]:
    """Return how often each thing has happened to invoices of the tenant."""
    query = "select action from audit_entries where tenant_id = :tenant"
    rows = await office.cluster.rows(office.database, query, tenant=office.owner.tenant_id)
    return Counter(row.action for row in rows)


async def pending(office: Office) -> dict[str, Any]:
    """Return an invoice of a new subscription whose payment is under way."""
    invoice = await office.invoice_of(await office.subscribe(LATE))
    assert (invoice["status"], invoice["attempts"]) == ("open", 1)
    assert (await office.post(f"/invoices/{invoice['id']}/void", 409))["code"] == "payment_pending"
    return invoice


async def test_a_payment_that_was_pending_is_taken_in_once(office: Office, client: AsyncClient) -> None:
    """However often it is told at once, and by however many events."""
    invoice = await pending(office)
    told = event("succeeded", invoice, office.owner.tenant_id)
    assert (await send(client, told, times=AT_ONCE)).status_code == 200
    assert (await send(client, event("succeeded", invoice, office.owner.tenant_id))).status_code == 200
    assert (await office.get(f"/invoices/{invoice['id']}"))["payment"] == "pi_late"
    found = await actions(office)
    assert (found["invoice.paid"], found["payment.strayed"]) == (1, 0)


@pytest.mark.parametrize(("message", "reason"), [("No money.", "No money."), (None, "The payment failed.")])
async def test_a_failure_that_comes_after_the_payment_changes_nothing(
    office: Office, client: AsyncClient, message: str | None, reason: str
) -> None:
    """Stripe promises no order, and no words; and the failure of an attempt counts once."""
    invoice = await pending(office)
    failed = event("payment_failed", invoice, office.owner.tenant_id, last_payment_error={"message": message})
    for _ in range(2):
        await send(client, {**failed, "id": f"evt_{uuid.uuid4().hex}"})
    seen = await office.get(f"/invoices/{invoice['id']}")
    assert (seen["status"], seen["attempts"], seen["failure"]) == ("open", 1, reason)
    await send(client, event("succeeded", invoice, office.owner.tenant_id))
    await send(client, {**failed, "id": f"evt_{uuid.uuid4().hex}"})
    assert (await office.get(f"/invoices/{invoice['id']}"))["status"] == "paid"
    subscription = await office.get(f"/subscriptions/{invoice['subscription_id']}")
    assert subscription["status"] == "active"


async def test_a_rest_is_no_way_out_of_owing(office: Office, client: AsyncClient) -> None:
    """The payment fails meanwhile: resumed, the subscription is past due, and not billed anew until that is settled."""
    invoice = await pending(office)
    path = f"/subscriptions/{invoice['subscription_id']}"
    await office.post(f"{path}/pause")
    await office.rewind(days=100)
    await send(client, event("payment_failed", invoice, office.owner.tenant_id))
    assert (await office.post(f"{path}/resume"))["status"] == "past_due"
    assert len((await office.get("/invoices"))["items"]) == 1


async def test_who_owes_two_invoices_is_past_due_until_neither_is_owed(office: Office, client: AsyncClient) -> None:
    """Both fail late, after the second period began; one is withdrawn, the other paid."""
    first = await pending(office)
    await office.pass_time(days=32)
    second, path = await office.invoice_of(first["subscription_id"]), f"/subscriptions/{first['subscription_id']}"
    for invoice in (first, second):
        await send(client, event("payment_failed", invoice, office.owner.tenant_id))
    await office.post(f"/invoices/{first['id']}/void")
    assert (await office.get(path))["status"] == "past_due"
    await office.post(f"/invoices/{second['id']}/payments", reference="statement 7")
    assert (await office.get(path))["status"] == "active"


@pytest.mark.parametrize(
    ("method", "changes"), [(GOOD, {"id": "pi_other"}), (LATE, {"id": "pi_less", "amount_received": 1})]
)
async def test_money_that_nothing_waits_for_is_told_once(
    office: Office, client: AsyncClient, method: str, changes: dict[str, Any]
) -> None:
    """A second payment, or one of another amount: the invoice stays as it is, however many events tell of it.

    So it is when the answer to the charge comes as well, which a payment noted by hand may have overtaken.
    """
    invoice = await office.invoice_of(await office.subscribe(method))
    stray = event("succeeded", invoice, office.owner.tenant_id, **changes)
    await send(client, stray, times=2)
    await send(client, {**stray, "id": f"evt_{uuid.uuid4().hex}"})
    received = Money(amount=stray["data"]["object"]["amount_received"], currency=Currency.EUR)
    async with office.work.begin(tenant_id=office.owner.tenant_id) as ctx:
        await PaymentService(ctx).succeeded(uuid.UUID(invoice["id"]), changes["id"], received)
    assert (await office.get(f"/invoices/{invoice['id']}"))["payment"] == invoice["payment"]
    assert (await actions(office))["payment.strayed"] == 1


async def test_what_is_not_ours_is_acknowledged_and_forgotten(office: Office, client: AsyncClient) -> None:
    """Other kinds, other users of the account, invoices and tenants that are no more."""
    invoice = await pending(office)
    tenant_id = office.owner.tenant_id
    others = [
        {**event("succeeded", invoice, tenant_id), "type": "charge.updated"},
        event("succeeded", invoice, tenant_id, metadata={}),
        event("succeeded", {**invoice, "id": str(uuid.uuid4())}, tenant_id),
        event("succeeded", invoice, uuid.uuid4()),
    ]
    for other in others:
        assert (await send(client, other)).status_code == 200
    assert (await office.get(f"/invoices/{invoice['id']}"))["status"] == "open"


async def test_what_is_not_signed_is_not_read(office: Office, client: AsyncClient) -> None:
    """No signature, another secret, another body, an old one, and what is none at all."""
    invoice = await pending(office)
    told = event("succeeded", invoice, office.owner.tenant_id)
    good, headers = signed(told, SECRET)
    attempts: list[tuple[bytes, dict[str, str]]] = [
        (good, {}),
        signed(told, SecretStr("another secret")),
        (good.replace(b"eur", b"usd"), headers),
        signed(told, SECRET, age=400),
        signed(told, SECRET, age=-400),
        (good, {"Stripe-Signature": "t=x,v1=ü"}),
        (good, {"Stripe-Signature": "v1=" + "0" * 64}),
    ]
    for content, signature in attempts:
        encoded = [(name.encode(), value.encode()) for name, value in signature.items()]
        answer = await client.post("/billing/webhooks/stripe", content=content, headers=encoded)
        assert (answer.status_code, answer.json()["code"]) == (400, "webhook_refused")
    assert (await office.get(f"/invoices/{invoice['id']}"))["status"] == "open"


async def test_what_is_signed_and_no_event_is_refused(client: AsyncClient) -> None:
    """As a request that nobody can read."""
    assert (await send(client, {"id": "evt_1"})).json()["code"] == "webhook_unreadable"
