"""The rows of tenants, of who may act in them, and who may see which rows."""

import datetime as dt
import uuid

from sqlalchemy import ColumnElement, Computed, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, select, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import Text

from app.core.permissions import BuiltInRole
from app.db.base import Base
from app.db.mixin import TenantMixin, TenantRootMixin, TimestampMixin, VersionMixin, tenant_fk
from app.db.tenancy import MEMBERSHIP_ROWS, TENANTS_ROWS, Relayed
from app.tenants.exceptions import (
    AlreadyInvitedError,
    AlreadyMemberError,
    RoleInUseError,
    RoleNameTakenError,
    RoleUsedByInvitationError,
    ServiceAccountNameTakenError,
)
from app.users.models import User

BUILT_IN = ", ".join(f"'{role}'::character varying" for role in BuiltInRole)
CUSTOM_ROLE = f"case when role::text = any (array[{BUILT_IN}]::text[]) then null::character varying else role end"
"""The role's name where it is one of the tenant's own: what the foreign key asks for; the built-in four have no row.

It is spelled as PostgreSQL prints it, so that Alembic can compare.
"""


class Role(TenantMixin, TimestampMixin, VersionMixin, Base):
    """A role of a tenant's own: a set of permissions under a name that never changes."""

    __tablename__ = "roles"
    name: Mapped[str]
    description: Mapped[str]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    __table_args__ = (UniqueConstraint("tenant_id", "name", name=RoleNameTakenError.constraint),)


class Membership(TenantMixin, TimestampMixin, Base):
    """A user's place in a tenant; its role, built-in or the tenant's own, names a set of permissions."""

    __tablename__ = "memberships"
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    role: Mapped[str]
    custom_role: Mapped[str | None] = mapped_column(Computed(CUSTOM_ROLE, persisted=True))
    user: Mapped[User] = relationship(lazy="raise")
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", name=AlreadyMemberError.constraint),
        ForeignKeyConstraint(
            ["tenant_id", "custom_role"], ["roles.tenant_id", "roles.name"], name=RoleInUseError.constraint
        ),
        {"info": {"visibility": MEMBERSHIP_ROWS, "admin": True}},
    )

    @classmethod
    def owned_by(cls, actor_id: uuid.UUID) -> ColumnElement[bool]:
        """While no tenant is set, people see their own memberships."""
        return cls.user_id == actor_id

    @property
    def email(self) -> str:
        """The member's address."""
        return self.user.email

    @property
    def full_name(self) -> str:
        """The member's name."""
        return self.user.full_name


class Tenant(TenantRootMixin, TimestampMixin, VersionMixin, Base):
    """An organisation that works apart from all others.

    `disabled_modules` names the modules it has switched off. A suspended one answers nobody; a deleted one only those
    who may bring it back, until its rows are removed for good (`purged_at`).
    """

    __tablename__ = "tenants"
    name: Mapped[str]
    disabled_modules: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    suspended_at: Mapped[dt.datetime | None]
    deleted_at: Mapped[dt.datetime | None]
    purged_at: Mapped[dt.datetime | None]
    __table_args__ = ({"info": {"visibility": TENANTS_ROWS, "admin": True, "relay": Relayed(read=("id",))}},)

    @classmethod
    def owned_by(cls, actor_id: uuid.UUID) -> ColumnElement[bool]:
        """While no tenant is set, people see the tenants they are members of."""
        return cls.id.in_(select(Membership.tenant_id).where(Membership.user_id == actor_id))

    @property
    def status(self) -> str:
        """Whether it is active, suspended or deleted."""
        return "deleted" if self.deleted_at else "suspended" if self.suspended_at else "active"


class Invitation(TenantMixin, Base):
    """A place in a tenant that is offered to whoever reads the mail of an address; one at a time for each.

    It is gone once it was accepted or revoked: the audit remembers.
    """

    __tablename__ = "invitations"
    email: Mapped[str]
    role: Mapped[str]
    custom_role: Mapped[str | None] = mapped_column(Computed(CUSTOM_ROLE, persisted=True))
    token_hash: Mapped[bytes]
    invited_by: Mapped[uuid.UUID]
    created_at: Mapped[dt.datetime] = mapped_column(server_default=text("now()"))
    expires_at: Mapped[dt.datetime]
    __table_args__ = (
        UniqueConstraint("tenant_id", "token_hash"),
        UniqueConstraint("tenant_id", "email", name=AlreadyInvitedError.constraint),
        ForeignKeyConstraint(
            ["tenant_id", "custom_role"], ["roles.tenant_id", "roles.name"], name=RoleUsedByInvitationError.constraint
        ),
    )


class ServiceAccount(TenantMixin, TimestampMixin, Base):
    """Somebody who is nobody: a program that acts in a tenant by its keys, and outlives who made it."""

    __tablename__ = "service_accounts"
    name: Mapped[str]
    created_by: Mapped[uuid.UUID]
    __table_args__ = (UniqueConstraint("tenant_id", "name", name=ServiceAccountNameTakenError.constraint),)


class ApiKey(TenantMixin, TimestampMixin, Base):
    """A key that a program signs in with; only its SHA-256 is kept, and the one before while a rotation overlaps.

    It acts as a service account with exactly `permissions`; or, without one, as the person who made it, with those of
    `permissions` that the person still holds.
    """

    __tablename__ = "api_keys"
    name: Mapped[str]
    service_account_id: Mapped[uuid.UUID | None]
    created_by: Mapped[uuid.UUID]
    permissions: Mapped[list[str]] = mapped_column(ARRAY(Text))
    key_hash: Mapped[bytes]
    previous_hash: Mapped[bytes | None]
    previous_until: Mapped[dt.datetime | None]
    expires_at: Mapped[dt.datetime]
    last_used_at: Mapped[dt.datetime | None]
    revoked_at: Mapped[dt.datetime | None]
    __table_args__ = (
        UniqueConstraint("tenant_id", "key_hash"),
        Index("ix_api_keys_previous_hash", "tenant_id", "previous_hash"),
        tenant_fk("service_account_id", "service_accounts", "CASCADE"),
    )
