"""What can go wrong with notices."""

from app.exceptions import NotFoundError


class NotificationNotFoundError(NotFoundError):
    """There is no such notice for you."""

    code = "notification_not_found"
