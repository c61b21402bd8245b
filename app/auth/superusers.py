"""Making superusers: by command only, with the rights of the tables' owner."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import insert, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.auth.models import Credential
from app.auth.passwords import passwords
from app.auth.policy import refuse_weak
from app.db.tenancy import roles
from app.users.models import User
from app.utils.helpers import uuid7


async def promote(migrate_url: str, email: str) -> bool:
    """Make a superuser of a known person, whose password stays; return whether there is one. Idempotent.

    `email` is in its normal form.
    """
    async with as_owner(migrate_url) as connection:
        known = update(User).where(User.email == email).values(is_superuser=True).returning(User.id)
        return await connection.scalar(known) is not None


async def create_superuser(migrate_url: str, email: str, full_name: str, password: str) -> None:
    """Make a new person who is a superuser; raises `WeakPasswordError`, and IntegrityError for a known address."""
    await refuse_weak(password, (email, full_name))
    hashed = await passwords.hash(password)
    user_id = uuid7()
    row = {"id": user_id, "email": email, "full_name": full_name, "is_superuser": True}
    async with as_owner(migrate_url) as connection:
        await connection.execute(insert(User).values(**row))
        await connection.execute(insert(Credential).values(user_id=user_id, password_hash=hashed))


@asynccontextmanager
async def as_owner(migrate_url: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection with the rights of the tables' owner, in a transaction."""
    engine = create_async_engine(migrate_url, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(f"set local role {roles().owner}"))
            yield connection
    finally:
        await engine.dispose()
