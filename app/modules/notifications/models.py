"""The rows of notices."""

import datetime as dt
import uuid

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, func
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


class NotificationPreference(TenantMixin, Base):
    """How a member wants to be told in this tenant, where it is not as by default; it goes with the membership."""

    __tablename__ = "notification_preferences"
    user_id: Mapped[uuid.UUID]
    in_app: Mapped[bool] = mapped_column(server_default="true")
    email: Mapped[bool] = mapped_column(server_default="false")
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id"),
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["memberships.tenant_id", "memberships.user_id"], ondelete="CASCADE"
        ),
    )
