"""What is removed of sign-ins that are over."""

import datetime as dt

from sqlalchemy import delete, or_, select

from app.auth.models import AuthLink, AuthSession, RefreshToken
from app.config import settings
from app.core.context import Context
from app.utils.helpers import utcnow


class SignInRetentionService:
    """Remove sessions with their refresh tokens, and links, some time after they ended."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def purge(self) -> int:
        """Remove what ended `auth.kept_days` ago, and return how many sessions it was; the audit remembers them."""
        past = utcnow() - dt.timedelta(days=settings.auth.kept_days)
        over = or_(AuthSession.ended_at < past, AuthSession.expires_at < past)
        ended = select(AuthSession.id).where(over)
        await self.ctx.session.execute(delete(AuthLink).where(AuthLink.expires_at < past))
        await self.ctx.session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(ended)))
        gone = await self.ctx.session.scalars(delete(AuthSession).where(over).returning(AuthSession.id))
        return len(gone.all())
