"""What can have happened in billing."""

from app.core.events import Event


class PlanCreated(Event):
    """A plan can be subscribed to."""

    action = "billing_plan.created"


class PlanArchived(Event):
    """Nobody can subscribe to a plan any more; who has, goes on."""

    action = "billing_plan.archived"


class CustomerCreated(Event):
    """A customer was entered."""

    action = "billing_customer.created"


class CustomerUpdated(Event):
    """A customer was changed, or the payment provider knows them now."""

    action = "billing_customer.updated"


class SubscriptionStarted(Event):
    """A customer subscribed to a plan."""

    action = "subscription.started"


class SubscriptionMoved(Event):
    """A subscription was renewed, paused, resumed, cancelled, fell behind or caught up; `after` says which."""

    action = "subscription.moved"


class InvoiceDrafted(Event):
    """An invoice was written, with its sums; nobody owes it yet."""

    action = "invoice.drafted"


class InvoiceIssued(Event):
    """An invoice got its number."""

    action = "invoice.issued"


class InvoicePending(Event):
    """A payment of an invoice is under way."""

    action = "invoice.pending"


class InvoicePaid(Event):
    """An invoice was paid."""

    action = "invoice.paid"


class InvoiceUnpaid(Event):
    """An attempt to collect an invoice failed; `after` says whether another one follows."""

    action = "invoice.unpaid"


class InvoiceVoided(Event):
    """An invoice, or a draft, was withdrawn."""

    action = "invoice.voided"


class PaymentStray(Event):
    """Money came for an invoice that was not waiting for it, or not so much: somebody must look, and refund."""

    action = "payment.strayed"
    reference: str
    amount: int
    currency: str
