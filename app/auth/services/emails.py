"""Addresses that are proven to be read by their person."""

import uuid

from app.auth.events import EmailVerified
from app.auth.mails import VerificationLetter
from app.auth.services.links import LinkService, Purpose
from app.core.context import Context
from app.core.mails import post
from app.db.tenancy import SYSTEM_TENANT_ID
from app.users.models import User
from app.users.services import UserService


class EmailService:
    """Send the link that verifies an address, and take it back."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.links, self.users = LinkService(ctx), UserService(ctx)

    async def ask(self) -> None:
        """Count that the caller wants a new link; raises `RateLimitedError`."""
        await self.ctx.limits.take_mail("verify", self.ctx.current_user.email, self.ctx.address)

    async def send_verification(self, user_id: uuid.UUID) -> None:
        """Make a link and mail it, unless the address is verified or the account disabled."""
        async with self.ctx.separate(SYSTEM_TENANT_ID) as inside:
            user = await inside.session.get_one(User, user_id)
            if user.email_verified_at is not None or user.disabled_at is not None:
                return
            token = await LinkService(inside).mint(user, Purpose.verify)
        await post(self.ctx, user.email, VerificationLetter(token))

    async def verify(self, token: str) -> None:
        """Take a link that was sent to an address as proof of it; raises `LinkRefusedError`."""
        user_id = await self.links.consume(token, Purpose.verify)
        await self.users.mark_verified(user_id)
        inside = await self.ctx.enter(SYSTEM_TENANT_ID, actor_id=user_id)
        await inside.emit(EmailVerified(object_id=user_id))
