"""What may be done with notices."""

from app.core.permissions import EVERYONE, Permission


class NotificationPermission(Permission):
    """Permissions on one's own notices; nobody sees those of others."""

    read = "notifications.read", "See one's own notices, mark them as read, and choose how to be told.", EVERYONE
