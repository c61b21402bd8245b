"""The queries of tenants and of those who act in them."""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import Select, delete, func, or_, select, update
from sqlalchemy.orm import joinedload

from app.core.permissions import BuiltInRole
from app.db.repository import Repository
from app.tenants.exceptions import (
    ApiKeyNotFoundError,
    InvitationNotFoundError,
    MemberNotFoundError,
    RoleNotFoundError,
    ServiceAccountNotFoundError,
)
from app.tenants.models import ApiKey, Invitation, Membership, Role, ServiceAccount, Tenant
from app.users.models import User
from app.utils.helpers import utcnow


class TenantRepository(Repository[Tenant]):
    """Tenants: inside one, that one; outside, those of which the actor is a member."""

    model = Tenant

    async def current(self) -> Tenant:
        """Return the tenant that the session is in."""
        return (await self.session.scalars(self.select())).one()


class MembershipRepository(Repository[Membership]):
    """Memberships; the session shows those of its tenant."""

    model = Membership
    missing = MemberNotFoundError

    def select(self) -> Select[Membership]:
        """Return the statement that reads memberships with their people."""
        return select(Membership).options(joinedload(Membership.user))

    async def of(self, user_id: uuid.UUID) -> Membership:
        """Return a person's membership, with the person; raises `MemberNotFoundError`."""
        found = await self.session.scalar(self.select().where(Membership.user_id == user_id))
        if found is None:
            raise MemberNotFoundError
        return found

    async def locked(self, *user_ids: uuid.UUID | None) -> Mapping[uuid.UUID, Membership]:
        """Return the memberships of all owners and of these people, locked until the commit, always in one order.

        Two who change each other's role at once thus take turns, and cannot deadlock.
        """
        wanted = or_(Membership.role == BuiltInRole.owner, Membership.user_id.in_(filter(None, user_ids)))
        statement = select(Membership).where(wanted).order_by(Membership.id).with_for_update()
        return {row.user_id: row for row in await self.session.scalars(statement)}

    async def user_ids(self) -> Sequence[uuid.UUID]:
        """Return who all the members are."""
        return (await self.session.scalars(select(Membership.user_id))).all()

    async def address(self, user_id: uuid.UUID) -> str | None:
        """Return the verified address of a member whose account is not disabled, or None."""
        person = select(User.email).join(Membership, Membership.user_id == User.id).where(User.id == user_id)
        reads = User.disabled_at.is_(None), User.email_verified_at.is_not(None)
        found: str | None = await self.session.scalar(person.where(*reads))
        return found

    async def has_address(self, email: str) -> bool:
        """Tell whether somebody with this address is a member."""
        statement = select(Membership.id).join(User, User.id == Membership.user_id).where(User.email == email)
        return await self.session.scalar(statement) is not None


class RoleRepository(Repository[Role]):
    """The tenant's own roles."""

    model = Role
    missing = RoleNotFoundError

    async def named(self, name: str) -> Role | None:
        """Return the role of a name, or None."""
        found: Role | None = await self.session.scalar(select(Role).where(Role.name == name))
        return found


class InvitationRepository(Repository[Invitation]):
    """Invitations that are still open, unless a method says otherwise."""

    model = Invitation
    missing = InvitationNotFoundError

    def select(self) -> Select[Invitation]:
        """Return the statement that reads those which can be accepted."""
        return select(Invitation).where(Invitation.expires_at > func.now())

    async def expired_to(self, email: str) -> Invitation | None:
        """Return the expired one that still stands in the way of a new one to the same address, locked."""
        statement = select(Invitation).where(Invitation.expires_at <= func.now(), Invitation.email == email)
        found: Invitation | None = await self.session.scalar(statement.with_for_update())
        return found

    async def of_token(self, token_hash: bytes, *, locked: bool = False) -> Invitation | None:
        """Return the open one of a token; `locked` until the commit, so that who comes second finds it gone."""
        statement = self.select().where(Invitation.token_hash == token_hash)
        found: Invitation | None = await self.session.scalar(statement.with_for_update() if locked else statement)
        return found

    async def remove_of(self, user_id: uuid.UUID) -> None:
        """Remove what a person offered: nobody who was taken out lets others in, or themselves."""
        await self.session.execute(delete(Invitation).where(Invitation.invited_by == user_id))

    async def remove_expired(self, role: str) -> None:
        """Remove the expired ones that still name a role."""
        await self.session.execute(
            delete(Invitation).where(Invitation.role == role, Invitation.expires_at <= func.now())
        )


class ServiceAccountRepository(Repository[ServiceAccount]):
    """Service accounts."""

    model = ServiceAccount
    missing = ServiceAccountNotFoundError


class ApiKeyRepository(Repository[ApiKey]):
    """API keys, revoked ones too."""

    model = ApiKey
    missing = ApiKeyNotFoundError

    async def revoke_personal(self, user_id: uuid.UUID) -> None:
        """Revoke the keys that act as a person; those of service accounts stay. Idempotent."""
        personal = ApiKey.created_by == user_id, ApiKey.service_account_id.is_(None), ApiKey.revoked_at.is_(None)
        await self.session.execute(update(ApiKey).where(*personal).values(revoked_at=utcnow()))
