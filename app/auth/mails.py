"""The mails of the door, in words.

None names the person: who registers with somebody else's address could write into a mail of ours otherwise.
"""

from app.config import settings
from app.core.context import Context
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


def changed_mail(email: str) -> Mail:
    """Return the notice that a password is another now."""
    text = (
        f"The password of your account at {settings.project_name} was changed, and other devices were signed out.\n\n"
        f"If it was not you, set a new one: {settings.mail.link_base}/forgot-password\n"
    )
    return Mail(email, f"{settings.project_name}: your password was changed", text)


def link(page: str, token: str) -> str:
    """Return a page's address; the token stands behind the `#`, which no browser sends to a server or its log."""
    return f"{settings.mail.link_base}/{page}#token={token}"


def post(ctx: Context, mail: Mail) -> None:
    """Send a mail once the transaction is committed, while no connection is held."""

    async def send(later: Context) -> None:
        await later.services.mailer.send(mail)

    ctx.later(send)
