"""What can go wrong with notices."""

from app.exceptions import ConflictError, NotFoundError


class NotificationNotFoundError(NotFoundError):
    """There is no such notice for you."""

    code = "notification_not_found"


class UnverifiedAddressError(ConflictError):
    """Verify your address first: mails go to addresses that are known to be read by their person."""

    code = "address_not_verified"
