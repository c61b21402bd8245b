"""The rules of billing that need more than one entity: who may what, in which order, and what is told of it."""

from app.modules.billing.services.calendar import CalendarService
from app.modules.billing.services.catalogue import CustomerService, PlanService
from app.modules.billing.services.collection import CollectionService
from app.modules.billing.services.invoices import InvoiceService
from app.modules.billing.services.payments import PaymentService
from app.modules.billing.services.reminders import ReminderService
from app.modules.billing.services.subscriptions import SubscriptionService
from app.modules.billing.services.webhooks import WebhookService

__all__ = [
    "CalendarService",
    "CollectionService",
    "CustomerService",
    "InvoiceService",
    "PaymentService",
    "PlanService",
    "ReminderService",
    "SubscriptionService",
    "WebhookService",
]
