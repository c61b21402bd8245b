"""The rules of people."""

from sqlalchemy import select

from app.core.context import Context
from app.users.models import User


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
