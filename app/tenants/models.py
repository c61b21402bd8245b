"""The rows of tenants and memberships, and who may see which of them."""

import uuid

from sqlalchemy import ColumnElement, ForeignKey, UniqueConstraint, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column, relationship
from sqlalchemy.types import Text

from app.db.base import Base
from app.db.mixin import TenantMixin, TenantRootMixin, TimestampMixin, VersionMixin
from app.db.tenancy import MEMBERSHIP_ROWS, TENANTS_ROWS
from app.tenants.exceptions import AlreadyMemberError
from app.users.models import User


class Membership(TenantMixin, TimestampMixin, Base):
    """A user's place in a tenant; its role names a set of permissions."""

    __tablename__ = "memberships"
    user_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("users.id"), index=True)
    role: Mapped[str]
    user: Mapped[User] = relationship(lazy="raise")
    __table_args__ = (
        UniqueConstraint("tenant_id", "user_id", name=AlreadyMemberError.constraint),
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
    """An organisation that works apart from all others. `disabled_modules` names the modules it has switched off."""

    __tablename__ = "tenants"
    name: Mapped[str]
    disabled_modules: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    __table_args__ = ({"info": {"visibility": TENANTS_ROWS, "admin": True}},)

    @classmethod
    def owned_by(cls, actor_id: uuid.UUID) -> ColumnElement[bool]:
        """While no tenant is set, people see the tenants they are members of."""
        return cls.id.in_(select(Membership.tenant_id).where(Membership.user_id == actor_id))
