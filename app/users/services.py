"""The rules of people."""

import uuid

from sqlalchemy import func, select, update

from app.core.context import Context
from app.db.repository import changes
from app.db.tenancy import SYSTEM_TENANT_ID
from app.users.events import UserUpdated
from app.users.models import User
from app.users.schemas import MeResponse, MeUpdate, OwnMembershipResponse
from app.utils.helpers import utcnow


class UserService:
    """Make and find people, across all tenants; for `auth` alone."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def create(self, email: str, full_name: str) -> User:
        """Add a person; raises `EmailTakenError` when the address is known."""
        user = User(email=email, full_name=full_name)
        self.ctx.session.add(user)
        await self.ctx.session.flush()
        return user

    async def find(self, email: str) -> User | None:
        """Return who has this (normal) address, or None."""
        found: User | None = await self.ctx.session.scalar(select(User).where(User.email == email))
        return found

    async def mark_verified(self, user_id: uuid.UUID) -> bool:
        """Note that somebody reads what is sent to their address; tell whether it is the first time, which stays."""
        unproven = update(User).where(User.id == user_id, User.email_verified_at.is_(None))
        verified = unproven.values(email_verified_at=utcnow()).returning(User.id)
        return await self.ctx.session.scalar(verified) is not None

    async def refuse_older_keys(self, user_id: uuid.UUID) -> None:
        """Let no API key that was made so far act as somebody any more, in any tenant."""
        await self.ctx.session.execute(update(User).where(User.id == user_id).values(keys_valid_from=func.now()))


class AccountService:
    """The caller's own account."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def show(self) -> MeResponse:
        """Return the caller as they see themselves."""
        return self._shown(await self._user())

    async def change(self, data: MeUpdate) -> MeResponse:
        """Change what `data` names, and announce it; where nothing is another than before, neither."""
        user = await self._user()
        for name, value in data.model_dump(exclude_unset=True).items():
            setattr(user, name, value)
        before, after = changes(user)
        if after:
            await self.ctx.session.flush()
            inside = await self.ctx.enter(SYSTEM_TENANT_ID)
            await inside.emit(UserUpdated(object_id=user.id, before=before, after=after))
        return self._shown(user)

    async def _user(self) -> User:
        """Return the caller's row."""
        return await self.ctx.session.get_one(User, self.ctx.current_user.id)

    def _shown(self, user: User) -> MeResponse:
        """Return a row together with the places that the gate has read."""
        return MeResponse(
            id=user.id,
            email=user.email,
            full_name=user.full_name,
            email_verified=user.email_verified_at is not None,
            is_superuser=user.is_superuser,
            memberships=[OwnMembershipResponse.model_validate(place) for place in self.ctx.current_user.memberships],
        )
