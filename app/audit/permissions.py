"""What may be done with the audit."""

from app.core.permissions import ADMINS, Permission


class AuditPermission(Permission):
    """Permissions on the audit: it is read, and nobody changes it."""

    read = "audit.read", "See who did what in the tenant.", ADMINS
