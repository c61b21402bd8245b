"""Mails that follow what happened at the door."""

from app.auth.events import UserRegistered
from app.auth.services.letters import LetterService
from app.core.context import Context
from app.core.events import Event


async def mail_verification(ctx: Context, event: UserRegistered) -> None:
    """Mail the new person the link that verifies their address."""
    await LetterService(ctx).send_verification(event.object_id)


async def mail_changed_password(ctx: Context, event: Event) -> None:
    """Mail a person that their password was changed, or reset."""
    await LetterService(ctx).tell_changed(event.object_id)
