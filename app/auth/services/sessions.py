"""Signing in, staying signed in, signing out."""

import datetime as dt
import secrets
import uuid
from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, select, update

from app.auth.events import SessionsEnded, SignedIn, SignedOut, SignInFailed, TokenReused
from app.auth.exceptions import RefreshRefusedError, SessionNotFoundError, WrongCredentialsError
from app.auth.lockout import Lockout
from app.auth.models import AuthSession, Credential, RefreshToken
from app.auth.passwords import passwords
from app.auth.schemas import SessionResponse, TokenResponse
from app.auth.tokens import issue_access, new_refresh, successor
from app.config import settings
from app.core.context import Context
from app.db.paging import paginate
from app.db.tenancy import SYSTEM_TENANT_ID
from app.exceptions import UnauthenticatedError
from app.users.models import User
from app.utils.helpers import token_hash, utcnow
from app.utils.schemas import Page, PageQuery


class SessionService:
    """Sign in, stay signed in, sign out. Each session is one device; its refresh tokens form a chain."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def login(self, email: str, password: str, user_agent: str = "") -> TokenResponse:
        """Start a session, and return its tokens; refuses as `recognise` does."""
        user_id = await self.recognise(email, password)
        session = await self.add(user_id, lives_until(utcnow()), user_agent)
        refresh = new_refresh()
        self.ctx.session.add(RefreshToken(session_id=session.id, token_hash=token_hash(refresh)))
        inside = await self.ctx.enter(SYSTEM_TENANT_ID, actor_id=user_id)
        await inside.emit(SignedIn(object_id=session.id))
        return self._answer(user_id, session.id, refresh)

    async def recognise(self, email: str, password: str, *, superuser: bool = False) -> uuid.UUID:
        """Return whose credentials these are; raises `WrongCredentialsError`, after the same work, for nobody's too.

        With `superuser` the credentials of anybody else are as wrong as a wrong password. The account is read in a
        transaction of its own, so that no connection is held while the password is verified. It is read again when the
        session starts: a password that was changed meanwhile starts none. Too many failures raise `RateLimitedError`,
        whatever the password; see `Lockout`.
        """
        lockout = Lockout(self.ctx, email)
        await lockout.attempt()
        user_id, stored, usable = await self._credential(email, superuser=superuser)
        right = await passwords.verify(password, stored)
        if user_id is None or not (right and usable and await self._still_holds(user_id, stored)):
            await self.ctx.track(SignInFailed(object_id=user_id))
            raise WrongCredentialsError
        await lockout.succeeded()
        return user_id

    async def _credential(self, email: str, *, superuser: bool) -> tuple[uuid.UUID | None, str | None, bool]:
        """Return whose address it is, the stored hash, and whether the account may sign in."""
        enabled = User.disabled_at.is_(None)
        usable = (and_(enabled, User.is_superuser) if superuser else enabled).label("usable")
        query = select(User.id, Credential.password_hash, usable).join(Credential, Credential.user_id == User.id)
        async with self.ctx.reader() as reader:
            row = (await reader.session.execute(query.where(User.email == email))).one_or_none()
        return (row.id, row.password_hash, row.usable) if row else (None, None, False)

    async def _still_holds(self, user_id: uuid.UUID, stored: str | None) -> bool:
        """Tell whether the account has this very hash and is not disabled, and keep it so until the commit.

        Who changes the password waits for this lock, then ends the sessions that are there, this one among them.
        """
        query = select(Credential.user_id).join(User, User.id == Credential.user_id)
        same = query.where(User.id == user_id, Credential.password_hash == stored, User.disabled_at.is_(None))
        return await self.ctx.session.scalar(same.with_for_update(read=True, of=Credential)) is not None

    async def add(self, user_id: uuid.UUID, expires_at: dt.datetime, user_agent: str) -> AuthSession:
        """Add the row of a new session, under which it is listed and ended."""
        session = AuthSession(user_id=user_id, expires_at=expires_at, user_agent=user_agent, address=self.ctx.address)
        self.ctx.session.add(session)
        await self.ctx.session.flush()
        return session

    async def refresh(self, token: str) -> TokenResponse:
        """Exchange a refresh token for its successor and a new access token.

        Repeating it is safe: within `auth.refresh_grace_seconds`, and while the successor is unused, the same token
        yields the same successor, so that racing tabs and lost answers cost nothing. Later, somebody else holds a
        copy: the session ends, in a transaction of its own, and `RefreshRefusedError` is raised.
        """
        link, session = await self._locked(token)
        if not await self._is_alive(session):
            raise RefreshRefusedError
        if link.nonce is None:
            link.nonce, link.exchanged_at = secrets.token_bytes(32), utcnow()
            session.last_used_at, session.expires_at = utcnow(), lives_until(session.created_at)
            following = successor(token, link.nonce)
            self.ctx.session.add(RefreshToken(session_id=session.id, token_hash=token_hash(following)))
        elif not await self._may_repeat(link, following := successor(token, link.nonce)):
            await self._revoke(session)
            raise RefreshRefusedError
        return self._answer(session.user_id, session.id, following)

    async def _locked(self, token: str) -> tuple[RefreshToken, AuthSession]:
        """Return the token's row and its session, locked against racers."""
        query = select(RefreshToken).where(RefreshToken.token_hash == token_hash(token)).with_for_update()
        link = await self.ctx.session.scalar(query)
        if link is None:
            raise RefreshRefusedError
        session = await self.ctx.session.get_one(AuthSession, link.session_id)
        return link, session

    async def _is_alive(self, session: AuthSession) -> bool:
        """Tell whether the session goes on: not ended, not expired, its owner not disabled."""
        disabled = await self.ctx.session.scalar(select(User.disabled_at).where(User.id == session.user_id))
        return session.ended_at is None and session.expires_at > utcnow() and disabled is None

    async def _may_repeat(self, link: RefreshToken, following: str) -> bool:
        """Tell whether an exchanged token may be exchanged again: soon, and its successor still unused."""
        grace = dt.timedelta(seconds=settings.auth.refresh_grace_seconds)
        used = select(RefreshToken.nonce).where(RefreshToken.token_hash == token_hash(following))
        soon = link.exchanged_at is not None and utcnow() - link.exchanged_at <= grace
        return soon and await self.ctx.session.scalar(used) is None

    async def _revoke(self, session: AuthSession) -> None:
        """End a session although the request will be refused."""
        async with self.ctx.separate() as other:
            await end_session(other, session.id)
        await self.ctx.track(TokenReused(object_id=session.id))

    async def logout(self) -> None:
        """End the caller's session; no token of it is accepted once this is committed."""
        session_id = self.ctx.current_user.session_id
        if session_id is None:
            raise UnauthenticatedError
        await end_session(self.ctx, session_id)
        inside = await self.ctx.enter(SYSTEM_TENANT_ID)
        await inside.emit(SignedOut(object_id=session_id))

    async def list(self, query: PageQuery) -> Page[SessionResponse]:
        """Return one page of the caller's living sessions, newest first."""
        user = self.ctx.current_user
        living = select(AuthSession).where(*living_of(user.id))
        rows, cursor = await paginate(self.ctx.session, living, AuthSession, query, "-created_at")
        return Page(items=[shown(row, user.session_id) for row in rows], next_cursor=cursor)

    async def end(self, session_id: uuid.UUID) -> None:
        """End one of the caller's living sessions; raises `SessionNotFoundError` for any other."""
        mine = update(AuthSession).where(AuthSession.id == session_id, *living_of(self.ctx.current_user.id))
        if await self.ctx.session.scalar(mine.values(ended_at=utcnow()).returning(AuthSession.id)) is None:
            raise SessionNotFoundError
        inside = await self.ctx.enter(SYSTEM_TENANT_ID)
        await inside.emit(SignedOut(object_id=session_id))

    async def end_others(self) -> int:
        """End the caller's other sessions, and return how many they were."""
        user = self.ctx.current_user
        ended = await end_sessions(self.ctx, user.id, but=user.session_id)
        if ended:
            inside = await self.ctx.enter(SYSTEM_TENANT_ID)
            await inside.emit(SessionsEnded(object_id=user.id, after={"sessions_ended": ended}))
        return ended

    @staticmethod
    def _answer(user_id: uuid.UUID, session_id: uuid.UUID, refresh: str) -> TokenResponse:
        """Return the tokens as the client gets them."""
        return TokenResponse(
            access_token=issue_access(user_id, session_id),
            refresh_token=refresh,
            expires_in=settings.auth.access_token_seconds,
        )


def lives_until(began: dt.datetime) -> dt.datetime:
    """Return until when a session lives that is not used any more, and never beyond its whole life."""
    unused = utcnow() + dt.timedelta(seconds=settings.auth.refresh_token_seconds)
    return min(unused, began + dt.timedelta(seconds=settings.auth.session_seconds))


async def end_session(ctx: Context, session_id: uuid.UUID) -> None:
    """Mark a session as ended; idempotent."""
    ended = update(AuthSession).where(AuthSession.id == session_id, AuthSession.ended_at.is_(None))
    await ctx.session.execute(ended.values(ended_at=utcnow()))


async def end_sessions(ctx: Context, user_id: uuid.UUID, *, but: uuid.UUID | None = None) -> int:
    """End somebody's living sessions, all `but` one, and return how many they were."""
    ended = update(AuthSession).where(*living_of(user_id))
    if but is not None:
        ended = ended.where(AuthSession.id != but)
    return len((await ctx.session.scalars(ended.values(ended_at=utcnow()).returning(AuthSession.id))).all())


def living_of(user_id: uuid.UUID) -> Sequence[ColumnElement[bool]]:
    """Return what holds of somebody's sessions that still go on."""
    return AuthSession.user_id == user_id, AuthSession.ended_at.is_(None), AuthSession.expires_at > func.now()


def shown(row: AuthSession, current: uuid.UUID | None) -> SessionResponse:
    """Return a session as its person sees it."""
    return SessionResponse(
        id=row.id,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        expires_at=row.expires_at,
        user_agent=row.user_agent,
        address=row.address,
        current=row.id == current,
    )
