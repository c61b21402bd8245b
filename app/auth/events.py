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


class SuperuserMade(ApplicationEvent):
    """Somebody became a superuser; the command that does it runs beside the application, and no handler hears of it."""

    action = "user.promoted"


class UserRegistered(Event):
    """Somebody registered, with a tenant of their own."""

    action = "user.registered"


class UserDisabled(Event):
    """A superuser disabled an account; its sessions ended with it."""

    action = "user.disabled"


class UserEnabled(Event):
    """A superuser enabled a disabled account."""

    action = "user.enabled"


class UsersSearched(ApplicationEvent):
    """A superuser looked at people, across all tenants."""

    action = "user.searched"


class SessionsEnded(Event):
    """Somebody signed out all their other devices; the object is the person, `after` says how many they were."""

    action = "user.sessions_ended"


class PasswordChanged(Event):
    """Somebody changed their password; their other sessions ended with it."""

    action = "user.password_changed"


class PasswordReset(Event):
    """Somebody set a new password by a link; all their sessions ended with it."""

    action = "user.password_reset"


class EmailVerified(Event):
    """Somebody followed a link that was sent to their address."""

    action = "user.email_verified"


class LinkSent(Event):
    """A link was mailed; the object is the link, `after` says what for."""

    action = "link.sent"


class PasswordRefused(ApplicationEvent):
    """A change of password was refused, because the present one was another; the object is the person."""

    action = "user.password_refused"
    outcome: str = "failure"


class LinkRefused(ApplicationEvent):
    """Somebody brought a link that is unknown, expired, used up or for something else."""

    action = "link.refused"
    outcome: str = "failure"
