"""What can have happened to a tenant."""

from app.core.events import ApplicationEvent, Event


class TenantCreated(Event):
    """A tenant was created; who created it is its first owner."""

    action = "tenant.created"


class TenantUpdated(Event):
    """A tenant was renamed, or switched modules on or off."""

    action = "tenant.updated"


class TenantDeleted(Event):
    """A tenant was deleted; it can be brought back for a while."""

    action = "tenant.deleted"


class TenantRestored(Event):
    """A deleted tenant came back."""

    action = "tenant.restored"


class TenantPurged(Event):
    """The time of grace was over: every row of the tenant was removed, but for its audit."""

    action = "tenant.purged"


class TenantSuspended(Event):
    """A superuser suspended the tenant: it answers nobody."""

    action = "tenant.suspended"


class TenantResumed(Event):
    """A superuser let a suspended tenant go on."""

    action = "tenant.resumed"


class MemberAdded(Event):
    """Somebody became a member; the object is the person."""

    action = "member.added"


class MemberChanged(Event):
    """A member's role changed; the object is the person."""

    action = "member.changed"


class MemberRemoved(Event):
    """Somebody is no member any more; the object is the person."""

    action = "member.removed"


class OwnershipTransferred(Event):
    """An owner handed over to another member, who is the object."""

    action = "member.promoted"


class InvitationSent(Event):
    """Somebody was invited."""

    action = "invitation.sent"


class InvitationRevoked(Event):
    """An invitation was taken back, or gave way to a new one."""

    action = "invitation.revoked"


class InvitationAccepted(Event):
    """An invitation was accepted."""

    action = "invitation.accepted"


class RoleCreated(Event):
    """A role of the tenant's own was made."""

    action = "role.created"


class RoleUpdated(Event):
    """A role of the tenant's own permits something else."""

    action = "role.updated"


class RoleDeleted(Event):
    """A role of the tenant's own was deleted."""

    action = "role.deleted"


class ServiceAccountCreated(Event):
    """A service account was made."""

    action = "service_account.created"


class ServiceAccountDeleted(Event):
    """A service account was deleted, and its keys with it."""

    action = "service_account.deleted"


class ApiKeyCreated(Event):
    """An API key was made."""

    action = "api_key.created"


class ApiKeyRotated(Event):
    """An API key got a new secret."""

    action = "api_key.rotated"


class ApiKeyRevoked(Event):
    """An API key was revoked."""

    action = "api_key.revoked"


class TenantsSearched(ApplicationEvent):
    """A superuser looked at tenants, across all of them."""

    action = "tenant.searched"
