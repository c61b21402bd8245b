"""Which payment provider there is, and the one that needs nobody: it decides by the name of the payment method."""

import uuid
from functools import cache

from app.config import settings
from app.modules.billing.adapters.stripe import StripePayments
from app.modules.billing.exceptions import (
    PaymentMethodDeclinedError,
    PaymentsNotConfiguredError,
    ProviderRefusedError,
    ProviderUnavailableError,
)
from app.modules.billing.interfaces import Charge, Outcome, PaymentProvider, Receipt
from app.modules.billing.models import Customer
from app.sections import BillingSettings

DECLINED = "Your card was declined."


class MemoryPayments:
    """Keeps what it was asked, by key. Stripe's own names for tests mean here what they mean there.

    `pm_card_chargeDeclined` is declined as soon as it is seen, `pm_card_chargeCustomerFail` when it is charged;
    `pm_processing` is decided later, `pm_unavailable` finds nobody at home; every other payment method has money.
    """

    def __init__(self) -> None:
        self.charges: dict[str, tuple[Charge, Receipt]] = {}

    async def enrol(self, tenant_id: uuid.UUID, customer: Customer) -> str:  # noqa: ARG002 - the protocol's
        """Return a name that is the same each time."""
        if customer.payment_method == "pm_card_chargeDeclined":
            raise PaymentMethodDeclinedError(DECLINED)
        return f"cus_{customer.id.hex}"

    async def charge(self, charge: Charge) -> Receipt:
        """Decide by the payment method; the same key with another charge is refused."""
        if charge.payment_method == "pm_unavailable":
            raise ProviderUnavailableError
        known, receipt = self.charges.setdefault(charge.key, (charge, decided(charge)))
        if known != charge:
            raise ProviderRefusedError("This key was used for another charge.")
        return receipt


def decided(charge: Charge) -> Receipt:
    """Return what comes of a charge."""
    if charge.payment_method == "pm_card_chargeCustomerFail":
        return Receipt(outcome=Outcome.declined, reason=DECLINED)
    outcome = Outcome.processing if charge.payment_method == "pm_processing" else Outcome.succeeded
    return Receipt(outcome=outcome, reference=f"pi_{charge.key}")


def payment_provider() -> PaymentProvider:
    """Return this process's provider; raises `PaymentsNotConfiguredError` where there must be a real one."""
    if settings.env == "production" and settings.billing.stripe_key is None:
        raise PaymentsNotConfiguredError
    return provider_of(settings.billing)


@cache
def provider_of(config: BillingSettings) -> PaymentProvider:
    """Return the provider that the settings ask for, the same each time."""
    if config.stripe_key is None:
        return MemoryPayments()
    return StripePayments(config.stripe_key, config.stripe_url, config.timeout)
