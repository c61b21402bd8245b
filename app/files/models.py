"""The rows of files."""

import datetime as dt
import uuid
from enum import StrEnum

from sqlalchemy import BigInteger, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import TenantMixin

UPLOAD = "upload"
"""The purpose of what people bring; whatever the application writes itself names its own."""


class FileStatus(StrEnum):
    """Whether a file is there, or on its way: then its size is what was set aside for it."""

    pending = "pending"
    stored = "stored"


class StoredFile(TenantMixin, Base):
    """What is known of a file; its content is an object in the store, called by the same two ids."""

    __tablename__ = "files"
    name: Mapped[str]
    purpose: Mapped[str] = mapped_column(default=UPLOAD)
    status: Mapped[str]
    content_type: Mapped[str] = mapped_column(default="")
    size: Mapped[int] = mapped_column(BigInteger)
    charged: Mapped[int | None] = mapped_column(BigInteger, default=None)
    sha256: Mapped[str] = mapped_column(default="")
    created_by: Mapped[uuid.UUID | None]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[dt.datetime | None] = mapped_column(default=None)
    __table_args__ = (
        Index("ix_files_created_at", "tenant_id", "purpose", "created_at", "id"),
        Index("ix_files_due", "tenant_id", postgresql_where=text("status = 'pending' or expires_at is not null")),
    )

    @property
    def share(self) -> int:
        """What it takes of its tenant's quota: what it was charged, or its size where nobody noted that yet."""
        return self.size if self.charged is None else self.charged


class FileUsage(TenantMixin, Base):
    """How many bytes of its quota a tenant's uploads take, those on their way included; its id is the tenant's.

    Whoever changes it holds its lock: so two at once cannot both take the last room.
    """

    __tablename__ = "file_usage"
    __bookkeeping__ = True
    size: Mapped[int] = mapped_column(BigInteger)
