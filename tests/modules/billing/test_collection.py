"""An attempt is made once, whatever happens between its beginning and its end."""

import uuid
from typing import Any

import pytest
from httpx2 import ASGITransport
from pydantic import SecretStr

from app.modules.billing.adapters.stripe import StripePayments
from app.modules.billing.exceptions import AttemptForgottenError
from app.modules.billing.interfaces import Charge, Receipt
from app.modules.billing.services import CalendarService, CollectionService
from tests.modules.billing.fake_stripe import KEY, FakeStripe
from tests.modules.billing.support import DECLINED, GOOD, Office


class LosesAnswers(StripePayments):
    """Stripe over a line that breaks once the money is taken."""

    async def charge(self, charge: Charge) -> Receipt:
        """Charge, and lose the answer."""
        await super().charge(charge)
        raise ConnectionResetError


class Breaks(StripePayments):
    """Stripe over a line that breaks before money is asked for."""

    async def charge(self, charge: Charge) -> Receipt:  # noqa: ARG002 - it does not come to that
        """Fail."""
        raise ConnectionResetError


async def issue(office: Office, method: str = GOOD) -> dict[str, Any]:
    """Issue an invoice of an active subscription that is due now, to a customer who has this payment method."""
    invoice = await office.invoice_of(await office.subscribe(None))
    await pay_by(office, invoice, method)
    await office.rewind(days=14, seconds=1)
    return invoice


async def pay_by(office: Office, invoice: dict[str, Any], method: str) -> None:
    """Let the customer of an invoice have another payment method."""
    path = f"/billing/customers/{invoice['customer_id']}"
    assert (await office.owner.call("PATCH", path, json={"payment_method": method})).is_success


async def collect(office: Office, invoice: dict[str, Any], fake: FakeStripe, kind: type[StripePayments]) -> None:
    """Make an attempt by Stripe."""
    provider = kind(SecretStr(KEY), "https://api.stripe.test", 5.0, ASGITransport(fake))
    async with office.work.begin(tenant_id=office.owner.tenant_id) as ctx:
        await CollectionService(ctx, provider).collect(uuid.UUID(invoice["id"]))


@pytest.mark.parametrize(
    ("method", "reason"),
    [(DECLINED, "Your card was declined."), ("pm_missing", "The payment method is not known any more.")],
)
async def test_a_method_that_stripe_does_not_take_is_a_payment_that_failed(
    office: Office, method: str, reason: str
) -> None:
    """Refused when the customer is made, not when money is asked for: the invoice is due again all the same."""
    invoice = await issue(office, method)
    await collect(office, invoice, FakeStripe(), StripePayments)
    seen = await office.get(f"/invoices/{invoice['id']}")
    assert (seen["status"], seen["attempts"], seen["failure"]) == ("open", 1, reason)
    assert seen["retry_at"] is not None
    assert (await office.get(f"/subscriptions/{invoice['subscription_id']}"))["status"] == "past_due"
    unpaid = "select count(*) from audit_entries where tenant_id = :tenant and action = 'invoice.unpaid'"
    assert await office.cluster.rows(office.database, unpaid, tenant=office.owner.tenant_id) == [(1,)]


async def test_a_lost_answer_is_asked_for_again_and_nobody_pays_twice(office: Office) -> None:
    """The attempt under way is found, and sent with the same key."""
    fake, invoice = FakeStripe(), await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice, fake, LosesAnswers)
    assert (await office.post(f"/invoices/{invoice['id']}/void", 409))["code"] == "payment_pending"
    for _ in range(2):
        await collect(office, invoice, fake, StripePayments)
    assert [path for path, _ in fake.calls].count("/v1/payment_intents") == 1
    seen = await office.get(f"/invoices/{invoice['id']}")
    assert (seen["status"], seen["attempts"], seen["payment"]) == ("paid", 1, "pi_2")


async def test_an_attempt_whose_key_is_forgotten_is_not_made_again(office: Office) -> None:
    """A day later somebody must look; what they find they note by hand."""
    fake, invoice = FakeStripe(), await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice, fake, LosesAnswers)
    await office.rewind(days=1)
    with pytest.raises(AttemptForgottenError):
        await collect(office, invoice, fake, StripePayments)
    assert (await office.post(f"/invoices/{invoice['id']}/payments", reference="pi_2"))["status"] == "paid"


async def test_a_customer_whom_stripe_knows_is_not_made_again(office: Office) -> None:
    """Though the charge failed and the keys are forgotten: Stripe attaches a payment method to one customer only."""
    fake, invoice = FakeStripe(), await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice, fake, Breaks)
    fake.seen.clear()
    await collect(office, invoice, fake, StripePayments)
    assert [path for path, _ in fake.calls] == ["/v1/customers", "/v1/payment_intents"]
    assert (await office.get(f"/invoices/{invoice['id']}"))["status"] == "paid"


async def test_an_attempt_that_was_left_under_way_goes_on_by_itself(office: Office) -> None:
    """Stripe was away until the task was dead: found after an hour, and as long as the key keeps it from being two."""
    invoice = await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice, FakeStripe(), Breaks)
    found = []
    for hours in (0.9, 20.1 - 0.9, 19.9 - 20.1, 1.1 - 19.9):
        await office.rewind(hours=hours)
        async with office.work.begin(tenant_id=office.owner.tenant_id, read_only=True) as ctx:
            found.append((await CalendarService(ctx).due()).invoices)
    assert found == [[], [], [uuid.UUID(invoice["id"])], [uuid.UUID(invoice["id"])]]
    await office.strike()
    seen = await office.get(f"/invoices/{invoice['id']}")
    assert (seen["status"], seen["attempts"]) == ("paid", 1)


async def test_a_method_that_comes_back_is_not_attached_again(office: Office) -> None:
    """Days later, when keys are forgotten: Stripe would refuse to hand it to another customer, though both are one."""
    first, second = "pm_card_chargeCustomerFail", "pm_card_authenticationRequired"
    fake, invoice = FakeStripe(), await issue(office, first)
    for days, method in ((0, first), (1, second), (3, first)):
        await office.rewind(days=days, seconds=1)
        fake.seen.clear()
        await pay_by(office, invoice, method)
        await collect(office, invoice, fake, StripePayments)
    customers = [values["customer"] for path, values in fake.calls if path == "/v1/payment_intents"]
    assert customers == [fake.attached[first], fake.attached[second], fake.attached[first]]
    seen = await office.get(f"/invoices/{invoice['id']}")
    assert (seen["attempts"], seen["failure"]) == (3, "Your card was declined.")


async def test_an_attempt_goes_on_with_the_method_that_it_began_with(office: Office) -> None:
    """Whatever the customer has now: the money may have come by that one, and its key is refused for another."""
    fake, invoice = FakeStripe(), await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice, fake, LosesAnswers)
    await pay_by(office, invoice, "pm_card_mastercard")
    await collect(office, invoice, fake, StripePayments)
    assert [path for path, _ in fake.calls] == ["/v1/customers", "/v1/payment_intents"]
    seen = await office.get(f"/invoices/{invoice['id']}")
    assert (seen["status"], seen["attempts"], seen["payment"]) == ("paid", 1, "pi_2")
