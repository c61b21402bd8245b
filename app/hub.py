"""The message hub: which event moves what. Read the table."""

from collections.abc import Collection
from typing import ClassVar

from app.audit.services import AuditService
from app.auth import handlers as auth_mails
from app.auth.events import (
    EmailVerified,
    LinkSent,
    PasswordChanged,
    PasswordReset,
    SessionsEnded,
    SignedIn,
    SignedOut,
    UserDisabled,
    UserEnabled,
    UserRegistered,
)
from app.core.context import Context
from app.core.dead_letters import DeadLetterDiscarded, DeadLetterRequeued
from app.core.events import ApplicationEvent, Event, JobRefused
from app.core.outbox import Outbox
from app.core.reactions import Delivery, Reaction, check_signature, delivered, entries
from app.core.runner import Name, Runnable
from app.db.tenancy import SYSTEM_TENANT_ID
from app.files.events import FileDeleted, FileStored
from app.files.handlers import remove_object
from app.modules.billing import handlers as billing
from app.modules.billing.events import (
    CustomerCreated,
    CustomerUpdated,
    InvoiceDrafted,
    InvoiceIssued,
    InvoicePaid,
    InvoicePending,
    InvoiceUnpaid,
    InvoiceVoided,
    PaymentStray,
    PlanArchived,
    PlanCreated,
    SubscriptionMoved,
    SubscriptionStarted,
)
from app.modules.notifications.handlers import projects as notifications_of_projects
from app.modules.projects.events import (
    ProjectAttached,
    ProjectCreated,
    ProjectDeleted,
    ProjectDetached,
    ProjectRestored,
    ProjectUpdated,
)
from app.tenants import handlers as tenant_mails
from app.tenants.events import (
    ApiKeyCreated,
    ApiKeyRevoked,
    ApiKeyRotated,
    InvitationAccepted,
    InvitationRevoked,
    InvitationSent,
    MemberAdded,
    MemberChanged,
    MemberRemoved,
    OwnershipTransferred,
    RoleCreated,
    RoleDeleted,
    RoleUpdated,
    ServiceAccountCreated,
    ServiceAccountDeleted,
    TenantCreated,
    TenantDeleted,
    TenantPurged,
    TenantRestored,
    TenantResumed,
    TenantSuspended,
    TenantUpdated,
)
from app.users.events import UserUpdated


class MessageHub:
    """Passes events on. Every event class has a line; `[]` means that nobody listens, on purpose."""

    handlers: ClassVar[dict[type[Event], list[Reaction]]] = {
        SignedIn: [],
        SignedOut: [],
        UserDisabled: [],
        UserEnabled: [],
        SessionsEnded: [],
        UserRegistered: [delivered(auth_mails.mail_verification)],
        PasswordChanged: [delivered(auth_mails.mail_changed_password)],
        PasswordReset: [delivered(auth_mails.mail_changed_password)],
        EmailVerified: [],
        LinkSent: [],
        UserUpdated: [],
        TenantCreated: [],
        TenantUpdated: [],
        TenantDeleted: [],
        TenantRestored: [],
        TenantPurged: [],
        TenantSuspended: [],
        TenantResumed: [],
        MemberAdded: [],
        MemberChanged: [],
        MemberRemoved: [],
        OwnershipTransferred: [],
        InvitationSent: [delivered(tenant_mails.mail_invitation)],
        InvitationRevoked: [],
        InvitationAccepted: [],
        RoleCreated: [],
        RoleUpdated: [],
        RoleDeleted: [],
        ServiceAccountCreated: [],
        ServiceAccountDeleted: [],
        ApiKeyCreated: [],
        ApiKeyRotated: [],
        ApiKeyRevoked: [],
        JobRefused: [],
        ProjectCreated: [delivered(notifications_of_projects.notify_of_created_project)],
        ProjectUpdated: [],
        ProjectDeleted: [],
        ProjectRestored: [],
        PlanCreated: [],
        PlanArchived: [],
        CustomerCreated: [],
        CustomerUpdated: [],
        SubscriptionStarted: [],
        SubscriptionMoved: [],
        InvoiceDrafted: [],
        InvoiceIssued: [delivered(billing.collect_issued_invoice)],
        InvoicePending: [],
        InvoicePaid: [],
        InvoiceUnpaid: [delivered(billing.remind_of_invoice)],
        InvoiceVoided: [],
        PaymentStray: [],
        ProjectAttached: [],
        ProjectDetached: [],
        FileStored: [],
        FileDeleted: [delivered(remove_object)],
        DeadLetterRequeued: [],
        DeadLetterDiscarded: [],
    }

    @classmethod
    def check(cls, queues: Collection[str]) -> None:
        """Raise TypeError for a table that cannot work.

        An event class of the application without a line, two events of one action, a handler of a wrong signature, or
        one that asks for a queue that nobody serves.
        """
        actions: dict[str, type[Event]] = {}
        for event in [*cls.handlers, *Event.__subclasses__()]:
            if event.__module__.startswith("app.") and event not in cls.handlers:
                raise TypeError(f"{event.__module__}.{event.__name__} has no line in app/hub.py")
            if event in cls.handlers and actions.setdefault(event.action, event) is not event:
                raise TypeError(f"{event.__name__} and {actions[event.action].__name__} both say {event.action}")
        for event, reactions in cls.handlers.items():
            for reaction in reactions:
                check_signature(event, reaction)
                if reaction.queue not in queues:
                    raise TypeError(f"{reaction.name} asks for queue {reaction.queue}: tasks.queues has none of it")

    @classmethod
    def deliveries(cls) -> dict[Name, Runnable]:
        """Return what is delivered, by the names that the outbox uses."""
        lines = [(event, one) for event, reactions in cls.handlers.items() for one in reactions if one.delivered]
        return {(reaction.name, event.action): Delivery(event, reaction) for event, reaction in lines}

    @classmethod
    async def handle(cls, ctx: Context, event: Event) -> None:
        """React to a change, in the transaction of the change, or not at all.

        First the handlers of this transaction run, one after the other; then the audit gets its row, and the outbox
        an entry for each handler that hears of it after the commit. Raises TypeError for an event without a line.
        """
        reactions = cls.handlers.get(type(event))
        if reactions is None:
            raise TypeError(f"{type(event).__name__} has no line in app/hub.py")
        for reaction in reactions:
            if not reaction.delivered:
                await reaction.handler(ctx, event)
        await AuditService(ctx).save(event)
        if later := entries(event, reactions):
            await Outbox(ctx).add(later)

    @classmethod
    async def track(cls, ctx: Context, event: ApplicationEvent) -> None:
        """Audit an activity that changes nothing, in a transaction that stands whatever becomes of the caller's.

        What happens outside every tenant belongs to the system tenant.
        """
        async with ctx.separate(ctx.tenant_id or SYSTEM_TENANT_ID) as other:
            await AuditService(other).save(event)
