"""What the payment provider tells by itself."""

from app.config import settings
from app.core.context import Context
from app.extensions.logs import get_logger
from app.modules.billing.adapters.stripe import Metadata, PaymentIntent, StripeEvent, read_event
from app.modules.billing.exceptions import InvoiceNotFoundError, WebhookRefusedError
from app.modules.billing.repository import InvoiceRepository, LedgerRepository
from app.modules.billing.services.payments import PaymentService
from app.utils.helpers import utcnow

SUCCEEDED, FAILED = "payment_intent.succeeded", "payment_intent.payment_failed"

log = get_logger(__name__)


class WebhookService:
    """Take in Stripe's events: each once, in whatever order they come; for a unit of work without a tenant.

    The tenant stands in the metadata that went with the charge, and counts only under a signature that is good.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def take(self, body: bytes, signature: str) -> None:
        """Take an event in, or pass it over; raises `WebhookRefusedError` and `WebhookUnreadableError`.

        Whatever is passed over is acknowledged too, so that Stripe does not send it again for days.
        """
        secret = settings.billing.webhook_secret
        if secret is None:
            raise WebhookRefusedError
        event = read_event(body, signature, secret, utcnow())
        intent = event.intent() if event.type in {SUCCEEDED, FAILED} else None
        origin = intent.origin() if intent else None
        if intent is None or origin is None:
            log.info("webhook_passed_over", kind=event.type, event_id=event.id)
            return
        await self._apply(await self.ctx.enter(origin.tenant_id), event, intent, origin)

    async def _apply(self, ctx: Context, event: StripeEvent, intent: PaymentIntent, origin: Metadata) -> None:
        """Let an event have its effect, inside its tenant, unless it had it before."""
        try:
            await InvoiceRepository(ctx.session).load(origin.invoice_id, locked=True)
        except InvoiceNotFoundError:
            log.warning("webhook_without_invoice", kind=event.type, event_id=event.id)
            return
        ctx.quiet("an event of the provider that changes nothing is only noted")
        if not await LedgerRepository(ctx).is_new(event.id, event.type):
            return
        payments = PaymentService(ctx)
        if event.type == SUCCEEDED:
            await payments.succeeded(origin.invoice_id, intent.id, intent.received())
        else:
            reason = str((intent.last_payment_error or {}).get("message") or "The payment failed.")
            await payments.failed(origin.invoice_id, f"{origin.invoice_id}:{origin.attempt}", reason)
