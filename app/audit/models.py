"""The rows of the audit: append-only, by grant."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import BigInteger, Index, UniqueConstraint, func
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import TenantMixin
from app.db.tenancy import Relayed

LINK = ("tenant_id", "id", "seq", "entry_digest", "digest", "chained_at")
WAITING = ("tenant_id", "id", "digest")
"""The columns of the sequencer's tables: it uses all of them, and has no right to any column that is added."""


class AuditEntry(TenantMixin, Base):
    """One thing that somebody did, or tried to do.

    `digest` covers every other column (`app.audit.utils`); it is empty in rows that are older than the column.
    """

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
    address: Mapped[str] = mapped_column(server_default="")
    digest: Mapped[str] = mapped_column(server_default="")
    __table_args__ = (
        Index("ix_audit_entries_object", "tenant_id", "object_type", "object_id"),
        Index("ix_audit_entries_created_at", "tenant_id", "created_at", "id"),
        {"info": {"verbs": ("select", "insert"), "owner": ("insert",)}},
    )


class AuditLink(TenantMixin, Base):
    """A link of a tenant's chain: the entry of the same `id`, bound to all before it; the sequencer alone adds them."""

    __tablename__ = "audit_chain"
    __bookkeeping__ = True
    seq: Mapped[int] = mapped_column(BigInteger)
    entry_digest: Mapped[str]
    digest: Mapped[str]
    chained_at: Mapped[dt.datetime]
    __table_args__ = (
        UniqueConstraint("tenant_id", "seq"),
        {"info": {"verbs": ("select",), "relay": Relayed(read=LINK, insert=LINK)}},
    )


class AuditWaiting(TenantMixin, Base):
    """An entry that is not in the chain yet; a trigger of `audit_entries` adds it, so that no code can forget to."""

    __tablename__ = "audit_unchained"
    __bookkeeping__ = True
    digest: Mapped[str]
    __table_args__ = ({"info": {"verbs": (), "relay": Relayed(read=WAITING, delete=True), "owner": ("insert",)}},)
