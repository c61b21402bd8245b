"""The mails of the door: links, and news of a changed password."""

import uuid

from app.auth.mails import ChangedLetter, ResetLetter, VerificationLetter
from app.auth.services.links import LinkService, Purpose
from app.core.context import Context
from app.core.mails import post
from app.db.tenancy import SYSTEM_TENANT_ID
from app.users.models import User
from app.users.services import UserService


class LetterService:
    """Write to people about their account.

    What carries deliveries and tasks out loads this, and neither what weighs passwords nor what signs tokens.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def send_verification(self, user_id: uuid.UUID) -> None:
        """Mail somebody the link that verifies their address, unless it is verified or the account disabled."""
        async with self.ctx.separate(SYSTEM_TENANT_ID) as inside:
            user = await inside.session.get_one(User, user_id)
            if user.email_verified_at is not None or user.disabled_at is not None:
                return
            token = await LinkService(inside).mint(user, Purpose.verify)
        await post(self.ctx, user.email, VerificationLetter(token))

    async def send_reset(self, email: str) -> None:
        """Mail an address the link that sets a new password, if it has an account that is not disabled."""
        async with self.ctx.separate(SYSTEM_TENANT_ID) as inside:
            user = await UserService(inside).find(email)
            if user is None or user.disabled_at is not None:
                return
            token = await LinkService(inside).mint(user, Purpose.reset)
        await post(self.ctx, user.email, ResetLetter(token))

    async def tell_changed(self, user_id: uuid.UUID) -> None:
        """Mail somebody that their password is another now."""
        async with self.ctx.reader() as reader:
            user = await reader.session.get_one(User, user_id)
        await post(self.ctx, user.email, ChangedLetter())
