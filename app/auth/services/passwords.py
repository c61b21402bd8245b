"""Passwords: changed by who knows the present one, reset by who reads the account's mail."""

import uuid

from sqlalchemy import select, update

from app.auth.events import PasswordChanged, PasswordRefused, PasswordReset
from app.auth.exceptions import WrongPasswordError
from app.auth.lockout import Lockout
from app.auth.models import Credential
from app.auth.passwords import passwords
from app.auth.policy import refuse_weak
from app.auth.services.links import LinkService, Purpose
from app.auth.services.sessions import end_sessions
from app.core.context import Context
from app.db.tenancy import SYSTEM_TENANT_ID
from app.users.services import UserService
from app.utils.helpers import utcnow

FIELD = "new_password"


class PasswordService:
    """Change and reset passwords. Sessions end only after the new password is written: see `SessionService.login`."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.links, self.users = LinkService(ctx), UserService(ctx)

    async def change(self, current: str, new: str) -> None:
        """Set the caller's password, end their other sessions and their reset links; they are told by mail.

        Raises `WrongPasswordError` for another present password, and `WeakPasswordError`. A guess counts as one at
        sign-in does (`RateLimitedError`): who stole an access token does not find the password out with it.
        """
        user = self.ctx.current_user
        lockout = Lockout(self.ctx, user.email)
        await lockout.attempt()
        stored = await self.ctx.session.scalar(select(Credential.password_hash).where(Credential.user_id == user.id))
        if not await passwords.verify(current, stored):
            raise await self._refused(user.id)
        await lockout.succeeded()
        await refuse_weak(new, (user.email, user.full_name), field=FIELD)
        hashed = await passwords.hash(new)
        # Nobody may have changed it meanwhile: of two at once one succeeds.
        change = update(Credential).where(Credential.user_id == user.id, Credential.password_hash == stored)
        changed = change.values(password_hash=hashed, changed_at=utcnow()).returning(Credential.user_id)
        if await self.ctx.session.scalar(changed) is None:
            raise await self._refused(user.id)
        ended = await end_sessions(self.ctx, user.id, but=user.session_id)
        await self.links.retire(user.id, Purpose.reset)
        inside = await self.ctx.enter(SYSTEM_TENANT_ID)
        await inside.emit(PasswordChanged(object_id=user.id, after={"sessions_ended": ended}))

    async def _refused(self, user_id: uuid.UUID) -> WrongPasswordError:
        """Return the refusal of a wrong present password, and keep that it happened."""
        await self.ctx.track(PasswordRefused(object_id=user_id))
        return WrongPasswordError()

    async def forget(self, email: str) -> None:
        """Count that somebody wants a link for an address, known or not; raises `RateLimitedError`.

        Nothing is looked up before the answer, which so says nothing.
        """
        await self.ctx.limits.take_mail("reset", email, self.ctx.address)

    async def reset(self, token: str, new: str) -> None:
        """Set a password by a link, end all sessions and keys of the account; its person is told by mail.

        The link proves the address as well. It stays good when the password is refused (`WeakPasswordError`), and is
        looked up before the password is hashed, so that no connection waits. Raises `LinkRefusedError`.
        """
        user = await self.links.owner(token, Purpose.reset)
        await refuse_weak(new, (user.email, user.full_name), field=FIELD)
        hashed = await passwords.hash(new)
        await self.links.consume(token, Purpose.reset)
        await self._write(user.id, hashed)
        ended = await end_sessions(self.ctx, user.id)
        await self.users.mark_verified(user.id)
        await self.users.refuse_older_keys(user.id)
        inside = await self.ctx.enter(SYSTEM_TENANT_ID, actor_id=user.id)
        await inside.emit(PasswordReset(object_id=user.id, after={"sessions_ended": ended}))

    async def _write(self, user_id: uuid.UUID, hashed: str) -> None:
        """Write somebody's password, be it their first one; at once, so that what follows comes after it."""
        credential = await self.ctx.session.get(Credential, user_id, with_for_update=True)
        if credential is None:
            self.ctx.session.add(Credential(user_id=user_id, password_hash=hashed))
        else:
            credential.password_hash, credential.changed_at = hashed, utcnow()
        await self.ctx.session.flush()
