"""The rows of notices."""

import datetime as dt
import uuid

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import TenantMixin


class Notification(TenantMixin, Base):
    """One notice to one member; `kind` is the action of the event it tells of, `object_id` what it happened to."""

    __tablename__ = "notifications"
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[str]
    object_id: Mapped[uuid.UUID]
    title: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    read_at: Mapped[dt.datetime | None]
    __table_args__ = (Index("ix_notifications_user", "tenant_id", "user_id", "created_at", "id"),)
