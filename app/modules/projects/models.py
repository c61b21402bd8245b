"""The rows of projects."""

import uuid

from sqlalchemy import Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base
from app.db.mixin import SoftDeleteMixin, TenantMixin, TimestampMixin, VersionMixin, tenant_fk
from app.modules.projects.exceptions import AlreadyAttachedError, ProjectNameTakenError

LIVING = text("deleted_at is null")


class Project(TenantMixin, TimestampMixin, VersionMixin, SoftDeleteMixin, Base):
    """A piece of work of one tenant; its name is unique among the tenant's living projects."""

    __tablename__ = "projects"
    name: Mapped[str]
    description: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")
    created_by: Mapped[uuid.UUID]
    __table_args__ = (
        Index(ProjectNameTakenError.constraint, "tenant_id", "name", unique=True, postgresql_where=LIVING),
        Index("ix_projects_created_at", "tenant_id", "created_at", "id"),
    )


class ProjectAttachment(TenantMixin, Base):
    """A file that belongs to a project; it goes with either of them."""

    __tablename__ = "project_attachments"
    project_id: Mapped[uuid.UUID]
    file_id: Mapped[uuid.UUID]
    __table_args__ = (
        UniqueConstraint("tenant_id", "project_id", "file_id", name=AlreadyAttachedError.constraint),
        tenant_fk("project_id", "projects", "CASCADE"),
        tenant_fk("file_id", "files", "CASCADE"),
        Index("ix_project_attachments_file", "tenant_id", "file_id"),
    )
