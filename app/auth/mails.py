"""The mails of the door, in words.

None names the person: who registers with somebody else's address could write into a mail of ours otherwise.
"""

from app.config import settings
from app.services.mailer import Mail


def reset_mail(email: str, token: str) -> Mail:
    """Return the mail with the link that sets a new password."""
    text = (
        f"Somebody, probably you, asked for a new password of your account at {settings.project_name}.\n\n"
        f"Set one here within 30 minutes:\n\n{link('reset-password', token)}\n\n"
        "If it was not you, do nothing: your password stays as it is.\n"
    )
    return Mail(email, f"{settings.project_name}: set a new password", text)


def verification_mail(email: str, token: str) -> Mail:
    """Return the mail with the link that verifies an address."""
    text = (
        f"This address was given for an account at {settings.project_name}.\n\n"
        f"If that was you, confirm it here within a day:\n\n{link('verify-email', token)}\n\n"
        "If it was not you, do nothing.\n"
    )
    return Mail(email, f"{settings.project_name}: confirm your address", text)


def changed_mail(email: str, message_id: str) -> Mail:
    """Return the notice that a password is another now; it is the same message however often it is sent.

    Mails with links have no such id: each has another link, and the last one works.
    """
    text = (
        f"The password of your account at {settings.project_name} was changed, and other devices were signed out.\n\n"
        f"If it was not you, set a new one: {settings.mail.link_base}/forgot-password\n"
    )
    return Mail(email, f"{settings.project_name}: your password was changed", text, message_id)


def link(page: str, token: str) -> str:
    """Return a page's address; the token stands behind the `#`, which no browser sends to a server or its log."""
    return f"{settings.mail.link_base}/{page}#token={token}"
