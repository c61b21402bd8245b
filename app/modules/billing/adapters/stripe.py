"""Stripe over its HTTP API: customers, PaymentIntents, and the signatures of what it tells.

https://docs.stripe.com/api describes the calls, https://docs.stripe.com/webhooks/signature the signatures.
"""

import asyncio
import datetime as dt
import hashlib
import hmac
import ssl
import uuid
from functools import cache
from typing import Any

from httpx2 import AsyncBaseTransport, AsyncClient, HTTPError, Response
from pydantic import BaseModel, SecretStr, ValidationError

from app.modules.billing.exceptions import (
    PaymentMethodDeclinedError,
    ProviderRefusedError,
    ProviderUnavailableError,
    WebhookRefusedError,
    WebhookUnreadableError,
)
from app.modules.billing.interfaces import Charge, Outcome, Receipt
from app.modules.billing.models import Customer, Money

VERSION = "2024-06-20"
TOLERANCE = dt.timedelta(minutes=5)
"""How old a signature may be, or how far ahead of our clock: what was overheard is not sent again later."""

CARD_REFUSED = 402
ASKED_WRONG, MISSING = 400, "resource_missing"
"""Status and code for what Stripe does not know: a method that was removed there, or is another account's."""

WORTH_ANOTHER_TRY = frozenset({409, 425, 429})
"""Statuses below 500 that pass: the same key is under way, or there were too many calls."""

SERVER_FAILED = 500


class StripePayments:
    """Charges by PaymentIntents, off session, in one call; its idempotency keys live for a day at least."""

    def __init__(self, key: SecretStr, url: str, timeout: float, transport: AsyncBaseTransport | None = None) -> None:
        self.key, self.url, self.timeout, self.transport = key, url, timeout, transport

    async def enrol(self, tenant_id: uuid.UUID, customer: Customer) -> str:
        """Make a customer of Stripe's that has the payment method; another customer's it does not hand out.

        Attached, a card is tried: here, too, it may be refused.
        """
        values = {
            "payment_method": customer.payment_method or "",
            "metadata[tenant_id]": str(tenant_id),
            "metadata[customer_id]": str(customer.id),
        }
        answer = await self.post("/v1/customers", values, f"{customer.id}:{customer.payment_method}")
        if refused := declined(answer):
            raise PaymentMethodDeclinedError(refused.reason)
        return str(accepted(answer, "id")["id"])

    async def charge(self, charge: Charge) -> Receipt:
        """Make and confirm a PaymentIntent."""
        values = {
            "amount": str(charge.amount.amount),
            "currency": charge.amount.currency.lower(),
            "customer": charge.customer,
            "payment_method": charge.payment_method,
            "off_session": "true",
            "confirm": "true",
            "automatic_payment_methods[enabled]": "true",
            "automatic_payment_methods[allow_redirects]": "never",
            "metadata[tenant_id]": str(charge.tenant_id),
            "metadata[invoice_id]": str(charge.invoice_id),
            "metadata[attempt]": str(charge.attempt),
        }
        answer = await self.post("/v1/payment_intents", values, charge.key)
        return declined(answer) or receipt_of(accepted(answer, "id", "status"))

    async def post(self, path: str, values: dict[str, str], key: str) -> Response:
        """Send a form; raises `ProviderUnavailableError` for what may be sent again with the same key."""
        headers = {
            "Authorization": f"Bearer {self.key.get_secret_value()}",
            "Idempotency-Key": key,
            "Stripe-Version": VERSION,
        }
        try:
            # The client's own timeout is for each step: an answer in drops would never end.
            async with (
                asyncio.timeout(self.timeout),
                AsyncClient(transport=self.transport, verify=trust(), timeout=self.timeout) as client,
            ):
                answer = await client.post(f"{self.url}{path}", data=values, headers=headers)
        except (HTTPError, TimeoutError) as error:
            raise ProviderUnavailableError(f"Stripe did not answer: {type(error).__name__}.") from None
        if answer.status_code >= SERVER_FAILED or answer.status_code in WORTH_ANOTHER_TRY:
            raise ProviderUnavailableError(f"Stripe answered {answer.status_code}.")
        return answer


@cache
def trust() -> ssl.SSLContext:
    """Return whom this process trusts, read once: it takes longer than a call."""
    return ssl.create_default_context()


def body_of(answer: Response, *names: str) -> dict[str, Any]:
    """Return the body of an answer; raises `ProviderUnavailableError` for one that is not Stripe's: a proxy's, say."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict) or not body.keys() >= {*names}:
        raise ProviderUnavailableError("The answer is not Stripe's.")
    return body


def accepted(answer: Response, *names: str) -> dict[str, Any]:
    """Return the body of a good answer, which has these names.

    Raises `ProviderRefusedError`, with Stripe's code and no more: it is kept where people of the tenant read it.
    """
    body = body_of(answer)
    if not answer.is_success:
        error = body.get("error", {})
        raise ProviderRefusedError(
            f"Stripe answered {answer.status_code}: {error.get('code') or error.get('type', 'unknown')}."
        )
    return body_of(answer, *names)


def receipt_of(intent: dict[str, Any]) -> Receipt:
    """Return what a PaymentIntent says of itself."""
    status, reference = intent["status"], str(intent["id"])
    if status in {"succeeded", "processing"}:
        return Receipt(outcome=Outcome(status), reference=reference)
    return Receipt(outcome=Outcome.declined, reference=reference, reason="The payment must be confirmed by you.")


def declined(answer: Response) -> Receipt | None:
    """Return the receipt of a payment method that is refused, or that Stripe does not know; None for other answers.

    What Stripe says of a card is for its holder; what it says of a method that is missing is for programmers.
    """
    if answer.status_code not in {CARD_REFUSED, ASKED_WRONG}:
        return None
    error = body_of(answer, "error")["error"]
    if answer.status_code == CARD_REFUSED:
        reference = str((error.get("payment_intent") or {}).get("id", ""))
        return Receipt(outcome=Outcome.declined, reference=reference, reason=str(error.get("message") or "Declined."))
    if error.get("code") == MISSING:
        return Receipt(outcome=Outcome.declined, reason="The payment method is not known any more.")
    return None


class Metadata(BaseModel):
    """What we gave a PaymentIntent to take along."""

    tenant_id: uuid.UUID
    invoice_id: uuid.UUID
    attempt: int


class PaymentIntent(BaseModel):
    """What we read of a PaymentIntent."""

    id: str
    amount_received: int = 0
    currency: str
    metadata: dict[str, str]
    last_payment_error: dict[str, Any] | None = None

    def origin(self) -> Metadata | None:
        """Return whose it is; None for one that others made in the same account."""
        try:
            return Metadata.model_validate(self.metadata)
        except ValidationError:
            return None

    def received(self) -> Money:
        """Return the money that came; raises `WebhookUnreadableError` for a currency that we never ask for."""
        try:
            return Money.model_validate({"amount": self.amount_received, "currency": self.currency.upper()})
        except ValidationError:
            raise WebhookUnreadableError from None


class StripeEvent(BaseModel):
    """Something that Stripe tells; `id` is the same however often it does."""

    id: str
    type: str
    data: dict[str, Any]

    def intent(self) -> PaymentIntent:
        """Return the PaymentIntent that it tells of; raises `WebhookUnreadableError`."""
        try:
            return PaymentIntent.model_validate(self.data.get("object"))
        except ValidationError:
            raise WebhookUnreadableError from None


def read_event(body: bytes, signature: str, secret: SecretStr, now: dt.datetime) -> StripeEvent:
    """Return an event whose signature is good; raises `WebhookRefusedError` before anything of it is read."""
    verify(body, signature, secret, now)
    try:
        return StripeEvent.model_validate_json(body)
    except ValidationError:
        raise WebhookUnreadableError from None


def verify(body: bytes, signature: str, secret: SecretStr, now: dt.datetime) -> None:
    """Raise `WebhookRefusedError` unless a v1 signature is ours, and young; there are two while a secret changes."""
    pairs = [part.strip().partition("=") for part in signature.split(",")]
    moments = [value for name, _, value in pairs if name == "t"]
    signatures = [value for name, _, value in pairs if name == "v1"]
    if len(moments) != 1 or not moments[0].isascii() or not moments[0].isdecimal():
        raise WebhookRefusedError
    expected = sign(body, moments[0], secret)
    if not any(hmac.compare_digest(expected.encode(), one.encode()) for one in signatures):
        raise WebhookRefusedError
    if abs(now.timestamp() - int(moments[0])) > TOLERANCE.total_seconds():
        raise WebhookRefusedError


def sign(body: bytes, moment: str, secret: SecretStr) -> str:
    """Return the signature of a body at a moment, in seconds since 1970."""
    return hmac.new(secret.get_secret_value().encode(), moment.encode() + b"." + body, hashlib.sha256).hexdigest()
