"""Making superusers: by command only, with the rights of the tables' owner."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from app.audit.models import AuditEntry
from app.audit.services import sealed
from app.auth.events import SuperuserMade
from app.auth.models import AuthSession, Credential
from app.auth.passwords import passwords
from app.auth.policy import refuse_weak
from app.db.tenancy import SYSTEM_TENANT_ID, roles
from app.users.models import User
from app.utils.helpers import uuid7


async def promote(migrate_url: str, email: str) -> bool:
    """Make a superuser of a known person, whose password stays; return whether there is one. Idempotent.

    `email` is in its normal form. Who never verified the address is not known: anybody can register with it.
    """
    async with as_owner(migrate_url) as connection:
        known = User.email == email, User.email_verified_at.is_not(None)
        person = (await connection.execute(select(User.id, User.is_superuser).where(*known).with_for_update())).first()
        if person is None:
            return False
        if not person.is_superuser:
            await connection.execute(update(User).where(User.id == person.id).values(is_superuser=True))
            await audit(connection, person.id, made=False)
        return True


async def create_superuser(migrate_url: str, email: str, full_name: str, password: str) -> None:
    """Make a person who is a superuser; raises `WeakPasswordError`.

    An account that somebody made with this address without verifying it becomes this person's: password and name are
    replaced, its sessions end, and its API keys count no more.
    """
    await refuse_weak(password, (email, full_name))
    hashed = await passwords.hash(password)
    row = {"full_name": full_name, "is_superuser": True, "email_verified_at": func.now(), "keys_valid_from": func.now()}
    person = insert(User).values(id=uuid7(), email=email, **row)
    person = person.on_conflict_do_update(index_elements=[User.email], set_=row)
    async with as_owner(migrate_url) as connection:
        user_id = (await connection.execute(person.returning(User.id))).scalar_one()
        secret = insert(Credential).values(user_id=user_id, password_hash=hashed)
        await connection.execute(
            secret.on_conflict_do_update(
                index_elements=[Credential.user_id], set_={"password_hash": hashed, "changed_at": func.now()}
            )
        )
        living = AuthSession.user_id == user_id, AuthSession.ended_at.is_(None)
        await connection.execute(update(AuthSession).where(*living).values(ended_at=func.now()))
        await audit(connection, user_id, made=True)


async def audit(connection: AsyncConnection, user_id: uuid.UUID, *, made: bool) -> None:
    """Leave the row of a new superuser in the system tenant's audit; `made` tells that the account was set up, too.

    Nobody acts: who runs the command has the database's rights, and no account is asked for.
    """
    event = SuperuserMade(object_id=user_id, after={"is_superuser": True, "account": "made" if made else "known"})
    row = sealed(event, tenant_id=SYSTEM_TENANT_ID)
    await connection.execute(insert(AuditEntry).values(row))


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
