"""The message hub: which event moves what. Read the table."""

from typing import ClassVar

from app.audit.services import AuditService
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
)
from app.core.context import Context
from app.core.events import ApplicationEvent, Event
from app.core.reactions import Reaction, in_transaction
from app.db.tenancy import SYSTEM_TENANT_ID
from app.modules.notifications.handlers import projects as notifications_of_projects
from app.modules.projects.events import ProjectCreated, ProjectDeleted, ProjectRestored, ProjectUpdated
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
        PasswordChanged: [],
        PasswordReset: [],
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
        InvitationSent: [],
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
        ProjectCreated: [in_transaction(notifications_of_projects.notify_of_created_project)],
        ProjectUpdated: [],
        ProjectDeleted: [],
        ProjectRestored: [],
    }

    @classmethod
    def refuse_unheard(cls) -> None:
        """Raise TypeError for an event class of the application without a line in the table; run at every start."""
        for event in Event.__subclasses__():
            if event.__module__.startswith("app.") and event not in cls.handlers:
                raise TypeError(f"{event.__module__}.{event.__name__} has no line in app/hub.py")

    @classmethod
    async def handle(cls, ctx: Context, event: Event) -> None:
        """Run what reacts to a change, one after the other, then audit it: all in the transaction of the change.

        Raises TypeError for an event without a line in the table.
        """
        if type(event) not in cls.handlers:
            raise TypeError(f"{type(event).__name__} has no line in app/hub.py")
        for reaction in cls.handlers[type(event)]:
            await reaction.handler(ctx, event)
        await AuditService(ctx).save(event)

    @classmethod
    async def track(cls, ctx: Context, event: ApplicationEvent) -> None:
        """Audit an activity that changes nothing, in a transaction that stands whatever becomes of the caller's.

        What happens outside every tenant belongs to the system tenant.
        """
        async with ctx.separate(ctx.tenant_id or SYSTEM_TENANT_ID) as other:
            await AuditService(other).save(event)
