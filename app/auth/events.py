"""What can have happened at the door."""

from app.core.events import ApplicationEvent, Event


class SignedIn(Event):
    """Somebody signed in; the object is the session."""

    action = "session.started"


class SignedOut(Event):
    """Somebody signed out; the object is the session."""

    action = "session.ended"


class SignInFailed(ApplicationEvent):
    """A sign-in was refused; the object is the account, where there is one."""

    action = "session.refused"
    outcome: str = "failure"


class TokenReused(ApplicationEvent):
    """A refresh token came back after its successor was used: the session was ended."""

    action = "session.revoked"
    outcome: str = "failure"


class UserDisabled(Event):
    """A superuser disabled an account; its sessions ended with it."""

    action = "user.disabled"


class UserEnabled(Event):
    """A superuser enabled a disabled account."""

    action = "user.enabled"


class UsersSearched(ApplicationEvent):
    """A superuser looked at people, across all tenants."""

    action = "user.searched"
