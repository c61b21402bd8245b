"""What may be done with a tenant."""

from app.core.permissions import ADMINS, EVERYONE, OWNERS, Permission


class TenantPermission(Permission):
    """Permissions on the tenant itself and on those who act in it."""

    read = "tenants.read", "See the tenant, and leave it.", EVERYONE
    update = "tenants.update", "Rename the tenant; switch modules on and off.", ADMINS
    delete = "tenants.delete", "Delete the tenant, and bring it back within the time of grace.", OWNERS
    transfer = "tenants.transfer", "Hand one's ownership over to another member.", OWNERS
    read_members = "tenants.read_members", "See who is a member, and in which role.", EVERYONE
    manage_members = "tenants.manage_members", "Change roles of members and remove members.", ADMINS
    invite = "tenants.invite", "Invite people; see and revoke invitations.", ADMINS
    read_roles = "tenants.read_roles", "See the roles and what they permit.", EVERYONE
    manage_roles = "tenants.manage_roles", "Make, change and delete the tenant's own roles.", ADMINS
    manage_keys = "tenants.manage_keys", "Make, rotate and revoke API keys and service accounts.", ADMINS
