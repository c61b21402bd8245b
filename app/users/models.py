"""The rows of users: a global table, reached by the services of `users` and `auth` alone."""

import datetime as dt

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import IdMixin, TimestampMixin
from app.users.exceptions import EmailTakenError


class User(IdMixin, TimestampMixin, Base):
    """A person. `email` is stored in its normal form (see `EmailAddress`), so that it can be compared and indexed.

    API keys made before `keys_valid_from` act as this person no more: the account was taken back by its mail.
    """

    __tablename__ = "users"
    email: Mapped[str]
    full_name: Mapped[str]
    is_superuser: Mapped[bool] = mapped_column(server_default="false")
    disabled_at: Mapped[dt.datetime | None]
    keys_valid_from: Mapped[dt.datetime | None]
    email_verified_at: Mapped[dt.datetime | None]
    __table_args__ = (Index(EmailTakenError.constraint, "email", unique=True), {"info": {"admin": True}})
