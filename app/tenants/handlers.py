"""Mails that follow what happened in a tenant."""

from app.core.context import Context
from app.tenants.events import InvitationSent
from app.tenants.services import InvitationService


async def mail_invitation(ctx: Context, event: InvitationSent) -> None:
    """Mail an invitation to whom it is for."""
    await InvitationService(ctx).mail(event.object_id)
