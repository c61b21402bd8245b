"""Links in mails: made, and used up once."""

import datetime as dt
import secrets
import uuid
from dataclasses import replace
from enum import StrEnum

from sqlalchemy import ColumnElement, func, select, update

from app.auth.events import LinkRefused, LinkSent
from app.auth.exceptions import LinkRefusedError
from app.auth.models import AuthLink
from app.core.context import Context
from app.users.models import User
from app.utils.helpers import token_hash, utcnow

LINK_PREFIX = "gpl_"
"""A link's token begins so, that secret scanners and our own logs know it."""


class Purpose(StrEnum):
    """What a link is for; none stands in for another."""

    reset = "reset"
    verify = "verify"


LIFE = {Purpose.reset: dt.timedelta(minutes=30), Purpose.verify: dt.timedelta(days=1)}
"""How long a link of each kind can be used."""


class LinkService:
    """Make links and use them up. A link is good once, in its time, for the address and the person it was made for."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def mint(self, user: User, purpose: Purpose) -> str:
        """Return the token of a new link; older links of the purpose are retired. For the system tenant.

        The person's row is locked, so that two at once leave one link. Commit it before it is mailed: no lock waits
        for a mailer, and a mail that is sent again brings another link.
        """
        await self.ctx.session.scalar(select(User.id).where(User.id == user.id).with_for_update())
        await self.retire(user.id, purpose)
        token = LINK_PREFIX + secrets.token_urlsafe(32)
        link = AuthLink(
            user_id=user.id,
            purpose=purpose,
            token_hash=token_hash(token),
            email=user.email,
            expires_at=utcnow() + LIFE[purpose],
        )
        self.ctx.session.add(link)
        await self.ctx.session.flush()
        ctx = replace(self.ctx, actor_id=user.id)
        await ctx.emit(LinkSent(object_id=link.id, after={"purpose": purpose, "user_id": str(user.id)}))
        return token

    async def retire(self, user_id: uuid.UUID, purpose: Purpose) -> None:
        """Make somebody's unused links of a purpose useless; idempotent."""
        unused = update(AuthLink).where(AuthLink.user_id == user_id, AuthLink.used_at.is_(None))
        await self.ctx.session.execute(unused.where(AuthLink.purpose == purpose).values(used_at=utcnow()))

    async def owner(self, token: str, purpose: Purpose) -> User:
        """Return whose link it is, in a transaction of its own, and leave it good; raises `LinkRefusedError`."""
        async with self.ctx.reader() as reader:
            found = select(User).join(AuthLink, AuthLink.user_id == User.id).where(good(token, purpose))
            user: User | None = await reader.session.scalar(found)
        if user is None:
            raise await self._refused()
        return user

    async def consume(self, token: str, purpose: Purpose) -> uuid.UUID:
        """Use a link up, and return whose it was; of two at once one succeeds. Raises `LinkRefusedError`."""
        used = update(AuthLink).where(good(token, purpose)).values(used_at=utcnow()).returning(AuthLink.user_id)
        user_id: uuid.UUID | None = await self.ctx.session.scalar(used.execution_options(synchronize_session=False))
        if user_id is None:
            raise await self._refused()
        return user_id

    async def _refused(self) -> LinkRefusedError:
        """Return the one refusal for every link that is not good, and keep that it happened."""
        await self.ctx.track(LinkRefused())
        return LinkRefusedError()


def good(token: str, purpose: Purpose) -> ColumnElement[bool]:
    """Return what holds of a link that can be used: its person has the same address still, and is not disabled."""
    person = select(User.id).where(User.id == AuthLink.user_id, User.email == AuthLink.email)
    usable = person.where(User.disabled_at.is_(None)).correlate(AuthLink).exists()
    return (
        (AuthLink.token_hash == token_hash(token))
        & (AuthLink.purpose == purpose)
        & AuthLink.used_at.is_(None)
        & (AuthLink.expires_at > func.now())
        & usable
    )
