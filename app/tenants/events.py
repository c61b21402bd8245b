"""What can have happened to a tenant."""

from app.core.events import Event


class MemberAdded(Event):
    """Somebody became a member; the object is the person."""

    action = "member.added"


class TenantCreated(Event):
    """A tenant was created; who created it is its first owner."""

    action = "tenant.created"
