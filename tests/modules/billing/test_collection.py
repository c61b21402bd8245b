"""An attempt is made once, whatever happens between its beginning and its end."""

import uuid

import pytest
from httpx2 import ASGITransport
from pydantic import SecretStr

from app.modules.billing.adapters.stripe import StripePayments
from app.modules.billing.exceptions import AttemptForgottenError
from app.modules.billing.interfaces import Charge, Receipt
from app.modules.billing.services import CollectionService
from tests.modules.billing.fake_stripe import KEY, FakeStripe
from tests.modules.billing.support import DECLINED, GOOD, Office


class LosesAnswers(StripePayments):
    """Stripe over a line that breaks once the money is taken."""

    async def charge(self, charge: Charge) -> Receipt:
        """Charge, and lose the answer."""
        await super().charge(charge)
        raise ConnectionResetError


async def issue(office: Office) -> uuid.UUID:
    """Issue an invoice that was not paid at the first attempt, and is due again to a customer who has money now."""
    invoice = await office.invoice_of(await office.subscribe(DECLINED))
    path = f"/billing/customers/{invoice['customer_id']}"
    assert (await office.owner.call("PATCH", path, json={"payment_method": GOOD})).is_success
    await office.rewind(days=1, seconds=1)
    return uuid.UUID(invoice["id"])


async def collect(office: Office, invoice_id: uuid.UUID, fake: FakeStripe, kind: type[StripePayments]) -> None:
    """Make an attempt by Stripe."""
    provider = kind(SecretStr(KEY), "https://api.stripe.test", 5.0, ASGITransport(fake))
    async with office.work.begin(tenant_id=office.owner.tenant_id) as ctx:
        await CollectionService(ctx, provider).collect(invoice_id)


async def test_a_lost_answer_is_asked_for_again_and_nobody_pays_twice(office: Office) -> None:
    """The attempt under way is found, and sent with the same key."""
    fake, invoice_id = FakeStripe(), await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice_id, fake, LosesAnswers)
    assert (await office.post(f"/invoices/{invoice_id}/void", 409))["code"] == "payment_pending"
    for _ in range(2):
        await collect(office, invoice_id, fake, StripePayments)
    assert [path for path, _ in fake.calls].count("/v1/payment_intents") == 1
    invoice = await office.get(f"/invoices/{invoice_id}")
    assert (invoice["status"], invoice["attempts"], invoice["payment"]) == ("paid", 2, "pi_2")


async def test_an_attempt_whose_key_is_forgotten_is_not_made_again(office: Office) -> None:
    """A day later somebody must look; what they find they note by hand."""
    fake, invoice_id = FakeStripe(), await issue(office)
    with pytest.raises(ConnectionResetError):
        await collect(office, invoice_id, fake, LosesAnswers)
    await office.rewind(days=1)
    with pytest.raises(AttemptForgottenError):
        await collect(office, invoice_id, fake, StripePayments)
    assert (await office.post(f"/invoices/{invoice_id}/payments", reference="pi_2"))["status"] == "paid"
