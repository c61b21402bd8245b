"""What can go wrong with billing."""

from app.exceptions import BadRequestError, ConflictError, NotFoundError, UnavailableError


class PlanNotFoundError(NotFoundError):
    """There is no such plan here."""

    code = "plan_not_found"


class CustomerNotFoundError(NotFoundError):
    """There is no such customer here."""

    code = "customer_not_found"


class SubscriptionNotFoundError(NotFoundError):
    """There is no such subscription here."""

    code = "subscription_not_found"


class InvoiceNotFoundError(NotFoundError):
    """There is no such invoice here."""

    code = "invoice_not_found"


class PlanArchivedError(ConflictError):
    """The plan is archived: nobody can subscribe to it any more."""

    code = "plan_archived"


class IllegalMoveError(ConflictError):
    """This cannot be done in the state it is in."""

    code = "illegal_move"


class PaymentPendingError(ConflictError):
    """A payment of this invoice is under way: wait until the provider says how it ended."""

    code = "payment_pending"


class PeriodBilledError(ConflictError):
    """This period of the subscription has its invoice already."""

    code = "period_billed"
    constraint = "uq_billing_invoices_period"


class WebhookRefusedError(BadRequestError):
    """The signature is missing, wrong or too old: this was not sent by the payment provider."""

    code = "webhook_refused"


class WebhookUnreadableError(BadRequestError):
    """The signature is good, but this is no event of the payment provider."""

    code = "webhook_unreadable"


class PaymentsNotConfiguredError(UnavailableError):
    """Payment methods cannot be used here: `billing.stripe_key` is not set."""

    code = "payments_not_configured"


class ProviderUnavailableError(UnavailableError):
    """The payment provider does not answer, or asks to be asked later; the same charge can be sent again."""

    code = "payment_provider_unavailable"


class ProviderRefusedError(UnavailableError):
    """The payment provider does not accept our request: the key, or what we ask for, is wrong."""

    code = "payment_provider_refused"


class PaymentMethodDeclinedError(ConflictError):
    """The payment provider does not take this payment method."""

    code = "payment_method_declined"


class AttemptForgottenError(ConflictError):
    """This attempt is too old to be sent again: look at the provider whether it was made, and note it by hand."""

    code = "attempt_forgotten"
