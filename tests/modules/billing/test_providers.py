"""The contract of a payment provider, held by the one in memory and by Stripe's HTTP API alike."""

import uuid
from collections.abc import Callable

import pytest
from httpx2 import ASGITransport, Response
from pydantic import SecretStr

from app.modules.billing.adapters.providers import MemoryPayments
from app.modules.billing.adapters.stripe import StripePayments, declined
from app.modules.billing.exceptions import (
    PaymentMethodDeclinedError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from app.modules.billing.interfaces import Charge, Outcome, PaymentProvider, Receipt
from app.modules.billing.models import Currency, Customer, Money
from tests.modules.billing.fake_stripe import KEY, FakeStripe

TENANT = uuid.uuid4()


def stripe(key: str = KEY, fake: FakeStripe | None = None) -> StripePayments:
    """Return the client of a Stripe of our own."""
    transport = ASGITransport(fake or FakeStripe())
    return StripePayments(SecretStr(key), "https://api.stripe.test", 1.0, transport)


@pytest.fixture(params=[MemoryPayments, stripe])
def provider(request: pytest.FixtureRequest) -> PaymentProvider:
    """Return a provider that nobody has asked yet."""
    make: Callable[[], PaymentProvider] = request.param
    return make()


async def charged(provider: PaymentProvider, method: str, *, amount: int = 1189) -> Charge:
    """Return a charge of a customer whom the provider knows."""
    customer = Customer(
        id=uuid.uuid4(), name="A", email="a@example.com", country="DE", tax_exempt=False, payment_method=method
    )
    known = await provider.enrol(TENANT, customer)
    assert known == await provider.enrol(TENANT, customer)
    money = Money(amount=amount, currency=Currency.EUR)
    return Charge(
        tenant_id=TENANT, invoice_id=uuid.uuid4(), attempt=1, amount=money, customer=known, payment_method=method
    )


@pytest.mark.parametrize(
    ("method", "outcome", "reason"),
    [
        ("pm_card_visa", Outcome.succeeded, ""),
        ("pm_processing", Outcome.processing, ""),
        ("pm_card_chargeCustomerFail", Outcome.declined, "Your card was declined."),
    ],
)
async def test_a_charge_has_an_outcome_and_the_same_one_again(
    provider: PaymentProvider, method: str, outcome: Outcome, reason: str
) -> None:
    """Sent again with its key, it has its first answer, a decline too."""
    charge = await charged(provider, method)
    receipt = await provider.charge(charge)
    assert (receipt.outcome, receipt.reason) == (outcome, reason)
    assert await provider.charge(charge) == receipt


async def test_a_card_can_be_declined_before_it_is_charged(provider: PaymentProvider) -> None:
    """The provider tries a card that it has not seen, and the customer is told what it says."""
    with pytest.raises(PaymentMethodDeclinedError, match=r"^Your card was declined\.$"):
        await charged(provider, "pm_card_chargeDeclined")


async def test_another_attempt_is_another_charge(provider: PaymentProvider) -> None:
    """Each has a reference of its own."""
    charge = await charged(provider, "pm_card_visa")
    first, second = await provider.charge(charge), await provider.charge(charge.but(attempt=2))
    assert first.reference != second.reference


async def test_a_key_is_not_used_for_another_charge(provider: PaymentProvider) -> None:
    """Somebody made a mistake, and it is not paid twice."""
    charge = await charged(provider, "pm_card_visa")
    await provider.charge(charge)
    with pytest.raises(ProviderRefusedError):
        await provider.charge(charge.but(amount=Money(amount=1, currency=Currency.EUR)))


async def test_stripe_is_asked_once_however_often_a_charge_is_sent() -> None:
    """In the form that it reads: nested names in brackets, the currency in lower case, nobody at the screen."""
    fake = FakeStripe()
    charge = await charged(stripe(fake=fake), "pm_card_visa")
    for _ in range(3):
        await stripe(fake=fake).charge(charge)
    assert [path for path, _ in fake.calls] == ["/v1/customers", "/v1/payment_intents"]
    _, values = fake.calls[1]
    assert values == {
        "amount": "1189",
        "currency": "eur",
        "customer": charge.customer,
        "payment_method": "pm_card_visa",
        "off_session": "true",
        "confirm": "true",
        "automatic_payment_methods[enabled]": "true",
        "automatic_payment_methods[allow_redirects]": "never",
        "metadata[tenant_id]": str(TENANT),
        "metadata[invoice_id]": str(charge.invoice_id),
        "metadata[attempt]": "1",
    }


async def test_who_must_be_there_to_confirm_is_declined() -> None:
    """Nobody is there."""
    provider = stripe()
    receipt = await provider.charge(await charged(provider, "pm_card_authenticationRequired"))
    assert receipt.outcome is Outcome.declined


def test_a_refusal_without_words_is_declined_too() -> None:
    """What Stripe has nothing to say of is there, and null."""
    answer = Response(402, json={"error": {"type": "card_error", "message": None, "payment_intent": None}})
    assert declined(answer) == Receipt(outcome=Outcome.declined, reason="Declined.")


@pytest.mark.parametrize("method", ["pm_unavailable", "pm_slow", "pm_garbage"])
async def test_trouble_at_stripe_is_worth_another_try(method: str) -> None:
    """It says so itself, it says nothing in time, or what no caller of it can read."""
    with pytest.raises(ProviderUnavailableError):
        await charged(stripe(), method)


async def test_a_wrong_key_is_not_and_is_not_told() -> None:
    """The error is kept with the entry, for people of the tenant to read."""
    with pytest.raises(ProviderRefusedError) as caught:
        await charged(stripe("sk_wrong"), "pm_card_visa")
    assert "401" in str(caught.value)
    assert "sk_wrong" not in str(caught.value)
