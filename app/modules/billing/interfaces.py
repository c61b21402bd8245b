"""What billing asks of the world outside, whoever answers."""

import uuid
from enum import StrEnum
from typing import Protocol

from app.modules.billing.models import Customer, Entity, Money


class Outcome(StrEnum):
    """How an attempt to charge ended, so far."""

    succeeded = "succeeded"
    processing = "processing"
    declined = "declined"


class Charge(Entity):
    """One attempt to collect an invoice."""

    tenant_id: uuid.UUID
    invoice_id: uuid.UUID
    attempt: int
    amount: Money
    customer: str
    """What the provider calls the customer."""
    payment_method: str

    @property
    def key(self) -> str:
        """Return what makes it the same attempt however often it is sent."""
        return f"{self.invoice_id}:{self.attempt}"


class Receipt(Entity):
    """What came of a charge; `reason` is for the customer, of one that was declined."""

    outcome: Outcome
    reference: str = ""
    reason: str = ""


class PaymentProvider(Protocol):
    """Charges customers. A second call with the same key has the first one's effect and answer.

    Both raise `ProviderUnavailableError` when it is worth to ask again, `ProviderRefusedError` when it is not.
    """

    async def enrol(self, tenant_id: uuid.UUID, customer: Customer) -> str:
        """Make a customer known together with their payment method; return what the provider calls them.

        Raises `PaymentMethodDeclinedError`, in words for the customer, for a method that is not taken.
        """

    async def charge(self, charge: Charge) -> Receipt:
        """Take the money, without the customer being there."""
