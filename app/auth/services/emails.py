"""Addresses that are proven to be read by their person."""

from app.auth.events import EmailVerified
from app.auth.services.links import LinkService, Purpose
from app.core.context import Context
from app.db.tenancy import SYSTEM_TENANT_ID
from app.users.services import UserService


class EmailService:
    """Hear that somebody wants a link, and take it back as proof; `LetterService` mails it."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.links, self.users = LinkService(ctx), UserService(ctx)

    async def ask(self) -> None:
        """Count that the caller wants a new link; raises `RateLimitedError`."""
        await self.ctx.limits.take_mail("verify", self.ctx.current_user.email, self.ctx.address)

    async def verify(self, token: str) -> None:
        """Take a link that was sent to an address as proof of it; raises `LinkRefusedError`."""
        user_id = await self.links.consume(token, Purpose.verify)
        await self.users.mark_verified(user_id)
        inside = await self.ctx.enter(SYSTEM_TENANT_ID, actor_id=user_id)
        await inside.emit(EmailVerified(object_id=user_id))
