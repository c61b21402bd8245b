"""What may be done with billing."""

from app.core.permissions import ADMINS, Permission


class BillingPermission(Permission):
    """Permissions on plans, customers, subscriptions and invoices."""

    read = "billing.read", "See plans, customers, subscriptions and invoices.", ADMINS
    manage = "billing.manage", "Write plans and invoices, enter customers, and move subscriptions.", ADMINS
