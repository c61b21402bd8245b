"""Making superusers: by command only, with the rights of the tables' owner."""

from sqlalchemy import insert, select, text, update
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.auth.models import Credential
from app.auth.passwords import passwords
from app.db.tenancy import roles
from app.users.models import User
from app.utils.helpers import uuid7


async def create_superuser(migrate_url: str, email: str, full_name: str, password: str) -> bool:
    """Make a superuser; return whether the person is new. Idempotent.

    A known person keeps their password. `email` is in its normal form.
    """
    hashed = await passwords.hash(password)
    engine = create_async_engine(migrate_url, poolclass=NullPool)
    async with engine.begin() as connection:
        await connection.execute(text(f"set local role {roles().owner}"))
        known = await connection.scalar(select(User.id).where(User.email == email))
        if known is not None:
            await connection.execute(update(User).where(User.id == known).values(is_superuser=True))
        else:
            user_id = uuid7()
            row = {"id": user_id, "email": email, "full_name": full_name, "is_superuser": True}
            await connection.execute(insert(User).values(**row))
            await connection.execute(insert(Credential).values(user_id=user_id, password_hash=hashed))
    await engine.dispose()
    return known is None
