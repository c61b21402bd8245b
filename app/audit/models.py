"""The rows of the audit: append-only, by grant."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import Index, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import TenantMixin


class AuditEntry(TenantMixin, Base):
    """One thing that somebody did, or tried to do."""

    __tablename__ = "audit_entries"
    __bookkeeping__ = True
    action: Mapped[str]
    object_type: Mapped[str]
    object_id: Mapped[uuid.UUID | None]
    actor_id: Mapped[uuid.UUID | None]
    on_behalf_of: Mapped[uuid.UUID | None]
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    outcome: Mapped[str]
    request_id: Mapped[str]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now())
    __table_args__ = (
        Index("ix_audit_entries_object", "tenant_id", "object_type", "object_id"),
        Index("ix_audit_entries_created_at", "tenant_id", "created_at", "id"),
        {"info": {"verbs": ("select", "insert")}},
    )
