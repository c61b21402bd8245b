"""What can have happened to people."""

from app.core.events import Event


class UserUpdated(Event):
    """Somebody changed their own account."""

    action = "user.updated"
