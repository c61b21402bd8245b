"""Signing in to the console: sessions like all others, which a cookie names and only superusers have."""

import datetime as dt
from dataclasses import replace

from sqlalchemy import ColumnElement, Executable, func, select, update

from app.auth.events import SignedIn
from app.auth.models import LONGEST_AGENT, AuthSession
from app.auth.services.sessions import SessionService
from app.auth.tokens import AccessClaim, issue_console
from app.config import settings
from app.core.context import Context, CurrentUser
from app.db.tenancy import SYSTEM_TENANT_ID
from app.exceptions import ForbiddenError, UnauthenticatedError
from app.users.models import User
from app.utils.helpers import utcnow

PERSON = (User.id, User.email, User.full_name, User.is_superuser)


class ConsoleSessionService:
    """Sign in and be known again. There is no refresh token: what is over is over, and asks for the password."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def login(self, email: str, password: str, user_agent: str = "") -> str:
        """Start a session, and return what its cookie holds.

        Raises `WrongCredentialsError`, alike for a wrong password and for the right one of who is no superuser: the
        page tells nobody which password is right.
        """
        sessions = SessionService(self.ctx)
        user_id = await sessions.recognise(email, password, superuser=True)
        unused = utcnow() + dt.timedelta(seconds=settings.auth.console_idle_seconds)
        session = await sessions.add(user_id, unused, f"console: {user_agent}"[:LONGEST_AGENT])
        inside = await self.ctx.enter(SYSTEM_TENANT_ID, actor_id=user_id)
        await inside.emit(SignedIn(object_id=session.id, after={"console": True}))
        return issue_console(user_id, session.id)

    async def admit(self, claim: AccessClaim, *, active: bool) -> Context:
        """Return the context with its caller, or refuse; one statement.

        Raises `UnauthenticatedError` for a session that is over or a disabled account, and `ForbiddenError` for who is
        no superuser any more. `active` lets the session live on from now; a page that polls is not somebody at work.
        """
        query: Executable
        living = (
            AuthSession.id == claim.session_id,
            AuthSession.user_id == claim.user_id,
            AuthSession.ended_at.is_(None),
            AuthSession.expires_at > func.now(),
            User.id == AuthSession.user_id,
            User.disabled_at.is_(None),
        )
        if active:
            touch = update(AuthSession).where(*living).values(last_used_at=func.now(), expires_at=lives_until())
            query = touch.returning(*PERSON).execution_options(synchronize_session=False)
        else:
            query = select(*PERSON).where(*living)
        row = (await self.ctx.session.execute(query)).one_or_none()
        if row is None:
            raise UnauthenticatedError
        if not row.is_superuser:
            raise ForbiddenError
        user = CurrentUser(row.id, row.email, row.full_name, row.is_superuser, claim.session_id)
        return replace(self.ctx, user=user)


def lives_until() -> ColumnElement[dt.datetime]:
    """Return until when a session lives that is used now, and never beyond its whole life."""
    idle, whole = (
        dt.timedelta(seconds=seconds) for seconds in (settings.auth.console_idle_seconds, settings.auth.console_seconds)
    )
    return func.least(func.now() + idle, AuthSession.created_at + whole)
