"""What rows have in common, and the two helpers for keys between tenant tables."""

import datetime as dt
import uuid
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, ForeignKeyConstraint, func
from sqlalchemy.orm import Mapped, Relationship, declared_attr, mapped_column, relationship

from app.db.base import Base
from app.utils.helpers import uuid7


class IdMixin:
    """A row with a time-ordered key of its own: global tables, and the tenant itself."""

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-19)


class TenantRootMixin(IdMixin):
    """The tenant's own row: its id is what other rows call tenant_id."""

    @classmethod
    def owned_by(cls, _: uuid.UUID) -> ColumnElement[bool]:
        """Return which rows this actor may see while no tenant is set; to be answered by the class."""
        raise TypeError(f"{cls.__name__} must say which tenants are the actor's own")


class TenantMixin:
    """A row of one tenant: the primary key is (tenant_id, id)."""

    tenant_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("tenants.id"), primary_key=True, sort_order=-20)
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid7, sort_order=-19)

    @classmethod
    def owned_by(cls, _: uuid.UUID) -> ColumnElement[bool] | None:
        """Return which rows this actor may see while no tenant is set; None means none of them."""
        return None


class TimestampMixin:
    """Creation and last change, aware UTC, by the database's clock."""

    created_at: Mapped[dt.datetime] = mapped_column(server_default=func.now(), sort_order=90)
    updated_at: Mapped[dt.datetime] = mapped_column(server_default=func.now(), onupdate=func.now(), sort_order=91)


class VersionMixin:
    """Optimistic locking: `version` counts up by one an update; a stale one raises `StaleDataError`."""

    version: Mapped[int] = mapped_column(default=1, sort_order=92)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        """Let the mapper compare and count."""
        return {**Base.__mapper_args__, "version_id_col": cls.version}


class SoftDeleteMixin:
    """A row that can come back: the session hides it once `deleted_at` is set.

    A statement that wants the deleted rows too says `execution_options(with_deleted=True)`.
    """

    deleted_at: Mapped[dt.datetime | None] = mapped_column(default=None, sort_order=93)


def tenant_fk(column: str, target: str, ondelete: str = "RESTRICT") -> ForeignKeyConstraint:
    """Return the composite foreign key (tenant_id, column) -> target (tenant_id, id).

    A key on `column` alone would accept another tenant's parent: foreign-key checks bypass row security.
    """
    rule = f"SET NULL ({column})" if ondelete == "SET NULL" else ondelete
    return ForeignKeyConstraint(["tenant_id", column], [f"{target}.tenant_id", f"{target}.id"], ondelete=rule)


def belongs_to(child: str, column: str, parent: str) -> Relationship[Any]:
    """Return the many-to-one side of a `tenant_fk`: it writes `column` alone, never tenant_id."""
    remote = f"remote({parent}.id), {child}.tenant_id == remote({parent}.tenant_id)"
    return relationship(parent, lazy="raise", primaryjoin=f"and_(foreign({child}.{column}) == {remote})")
