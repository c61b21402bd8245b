"""Two classes with relations, which the application itself does not need yet: folders, and documents in them.

They have a base of their own, so that no migration, policy or check of the application hears of them.
"""

import uuid
from typing import Any, ClassVar

from sqlalchemy import Column, MetaData, Table, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, Relationship, mapped_column, relationship

from app.db.mixin import TenantMixin, belongs_to, tenant_fk


class Shelf(DeclarativeBase):
    """Parent of the classes of this test."""

    metadata = MetaData()
    __bookkeeping__: ClassVar[bool] = False


Table("tenants", Shelf.metadata, Column("id", Uuid, primary_key=True))


def careless(local: str, lazy: Any = "select") -> Relationship[Any]:
    """Return a relationship that forgets the tenant: it joins by the id alone."""
    ids = "foreign(Document.folder_id) == remote(Folder.id)"
    if local == "Folder":
        ids = "remote(foreign(Document.folder_id)) == Folder.id"
    return relationship("Folder" if local == "Document" else "Document", lazy=lazy, primaryjoin=ids, viewonly=True)


class Folder(TenantMixin, Shelf):
    """A parent."""

    __tablename__ = "folders"
    name: Mapped[str]
    documents: Mapped[list["Document"]] = careless("Folder")


class Document(TenantMixin, Shelf):
    """A child, with the relation that the application's helper makes, and a careless one."""

    __tablename__ = "documents"
    __table_args__ = (tenant_fk("folder_id", "folders", "SET NULL"),)
    name: Mapped[str]
    folder_id: Mapped[uuid.UUID | None] = mapped_column()
    folder: Mapped[Folder | None] = belongs_to("Document", "folder_id", "Folder")
    careless_folder: Mapped[Folder | None] = careless("Document")
    careless_folders: Mapped[list[Folder]] = relationship(
        Folder, primaryjoin="foreign(Document.folder_id) == remote(Folder.id)", uselist=True, viewonly=True
    )
