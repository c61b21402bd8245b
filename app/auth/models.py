"""The rows of sign-in: global tables, reached by the services of `auth` alone."""

import datetime as dt
import uuid

from sqlalchemy import ForeignKey, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import IdMixin

LONGEST_AGENT = 200
"""Characters that are kept of what a client calls itself."""

REMOVABLE = {"info": {"verbs": ("select", "delete")}}
"""Rows that the application may delete, once they are over."""


class Credential(Base):
    """A user's password, as an argon2id hash in PHC form."""

    __tablename__ = "credentials"
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    password_hash: Mapped[str]
    changed_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())


class AuthSession(IdMixin, Base):
    """One signed-in device; access tokens name it, so that ending it ends them all at once."""

    __tablename__ = "auth_sessions"
    __table_args__ = REMOVABLE
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    ended_at: Mapped[dt.datetime | None]
    last_used_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    user_agent: Mapped[str] = mapped_column(server_default="")
    address: Mapped[str] = mapped_column(server_default="")


class RefreshToken(IdMixin, Base):
    """One link in a session's chain of refresh tokens; only the token's SHA-256 is kept.

    `nonce` is set when the token is exchanged: the successor is an HMAC of it under the token itself, so that a
    client whose answer was lost gets the same successor again, and nobody who reads this table can make one.
    """

    __tablename__ = "refresh_tokens"
    __table_args__ = REMOVABLE
    session_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("auth_sessions.id"), index=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    exchanged_at: Mapped[dt.datetime | None]
    nonce: Mapped[bytes | None]


class AuthLink(IdMixin, Base):
    """A link in a mail that can be used once; only its token's SHA-256 is kept.

    `email` is the address it was sent to: once a person has another one, the link proves nothing any more.
    """

    __tablename__ = "auth_links"
    __table_args__ = REMOVABLE
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    purpose: Mapped[str]
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    email: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime]
    used_at: Mapped[dt.datetime | None]
