"""What may be done with a tenant."""

from app.core.permissions import EVERYONE, Permission


class TenantPermission(Permission):
    """Permissions on the tenant itself and on its people."""

    read_members = "tenants.read_members", "See who is a member, and in which role.", EVERYONE
