"""A Stripe of our own: the few calls that billing makes, in Stripe's wire format, with its idempotency.

Payment methods are Stripe's names for tests; some more name a server in trouble.
"""

import asyncio
import json
import time
from typing import Any
from urllib.parse import parse_qsl

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse

from app.modules.billing.adapters.stripe import sign

KEY = "sk_test_of_the_suite"
CARD_DECLINED = {"type": "card_error", "code": "card_declined", "message": "Your card was declined."}


class FakeStripe:
    """An ASGI application; `calls` holds what was carried out, `seen` every answer by key."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.seen: dict[str, tuple[dict[str, str], int, dict[str, Any]]] = {}
        self.attached: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        status, body = await self.answer(request)
        await JSONResponse(body, status)(scope, receive, send)

    async def answer(self, request: Request) -> tuple[int, dict[str, Any]]:
        """Return status and body: by the key, or by carrying it out."""
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return 401, fault("invalid_request_error", "Invalid API Key provided")
        values = dict(parse_qsl((await request.body()).decode(), strict_parsing=True))
        method, key = values.get("payment_method", ""), request.headers["idempotency-key"]
        if method == "pm_slow":
            await asyncio.Event().wait()
        if method == "pm_unavailable":
            return 503, fault("api_error", "try again")
        if method == "pm_garbage":
            return 200, {}
        if key in self.seen:
            before, status, body = self.seen[key]
            same = before == values
            return (status, body) if same else (400, fault("idempotency_error", "Keys are for the same parameters"))
        self.calls.append((request.url.path, values))
        status, body = self.customer(values) if request.url.path == "/v1/customers" else self.intent(values)
        self.seen[key] = values, status, body
        return status, body

    def customer(self, values: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Make a customer and attach the payment method."""
        method, made = values["payment_method"], f"cus_{len(self.calls)}"
        if method == "pm_card_chargeDeclined":
            return 402, {"error": CARD_DECLINED}
        if method == "pm_missing":
            return 400, fault("invalid_request_error", f"No such PaymentMethod: '{method}'", code="resource_missing")
        if method in self.attached:
            return 400, fault("invalid_request_error", "The payment method is another customer's already")
        self.attached[method] = made
        return 200, {"id": made, "object": "customer"}

    def intent(self, values: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Make and confirm a PaymentIntent; only of a method that is the customer's."""
        method, intent = values["payment_method"], f"pi_{len(self.calls)}"
        if self.attached.get(method) != values["customer"] or values["off_session"] != "true":
            return 400, fault("invalid_request_error", "The payment method is not the customer's")
        if method == "pm_card_chargeCustomerFail":
            return 402, {"error": {**CARD_DECLINED, "payment_intent": {"id": intent}}}
        states = {"pm_processing": "processing", "pm_card_authenticationRequired": "requires_action"}
        return 200, {"id": intent, "object": "payment_intent", "status": states.get(method, "succeeded")}


def fault(kind: str, message: str, **more: str) -> dict[str, Any]:
    """Return the body of an error."""
    return {"error": {"type": kind, "message": message, **more}}


def event(kind: str, invoice: dict[str, Any], tenant_id: object, **changes: Any) -> dict[str, Any]:
    """Return an event about the payment of an invoice."""
    metadata = {"tenant_id": str(tenant_id), "invoice_id": invoice["id"], "attempt": str(invoice["attempts"])}
    intent = {"id": "pi_late", "object": "payment_intent", "amount_received": invoice["total"], "currency": "eur"}
    found = {"id": f"evt_{time.time_ns()}", "object": "event", "type": f"payment_intent.{kind}"}
    return {**found, "data": {"object": {**intent, "metadata": metadata, **changes}}}


def signed(body: dict[str, Any], secret: SecretStr, *, age: int = 0) -> tuple[bytes, dict[str, str]]:
    """Return an event as it is sent, and its headers."""
    content, moment = json.dumps(body).encode(), str(int(time.time()) - age)
    return content, {"Stripe-Signature": f"t={moment},v1={sign(content, moment, secret)},v0=old"}
