"""The rules of tenants and members."""

import uuid
from collections.abc import Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import joinedload

from app.core.context import Context
from app.core.permissions import BuiltInRole
from app.db.repository import Repository
from app.tenants.events import MemberAdded, TenantCreated
from app.tenants.models import Membership, Tenant
from app.tenants.schemas import MemberResponse, TenantResponse
from app.utils.helpers import uuid7
from app.utils.schemas import Page, PageQuery


class TenantRepository(Repository[Tenant]):
    """Queries of tenants."""

    model = Tenant


class MembershipRepository(Repository[Membership]):
    """Queries of memberships."""

    model = Membership

    def select(self) -> Select[Membership]:
        """Return the statement that reads memberships with their people."""
        return select(Membership).options(joinedload(Membership.user))


class TenantService:
    """Create tenants, and list those of the caller; for units of work that began without a tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.tenants = TenantRepository(ctx.session)

    async def create(self, name: str, owner_id: uuid.UUID) -> Tenant:
        """Add a tenant and its first owner; the transaction is inside the new tenant from here on."""
        tenant_id = uuid7()
        inside = await self.ctx.enter(tenant_id, actor_id=owner_id)
        tenant = await self.tenants.add(Tenant(id=tenant_id, name=name))
        self.ctx.session.add(Membership(user_id=owner_id, role=BuiltInRole.owner.value))
        await inside.emit(TenantCreated(object_id=tenant_id, after={"name": name, "owner_id": str(owner_id)}))
        return tenant

    async def page(self, query: PageQuery) -> Page[TenantResponse]:
        """Return the tenants of which the caller is a member, oldest first."""
        return await self.tenants.page(query, self.tenants.select(), "created_at", TenantResponse)


class MemberService:
    """The people of the selected tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.memberships = MembershipRepository(ctx.session)

    async def page(self, query: PageQuery) -> Page[MemberResponse]:
        """Return the members, longest-standing first."""
        return await self.memberships.page(query, self.memberships.select(), "created_at", MemberResponse)

    async def add(self, user_id: uuid.UUID, role: BuiltInRole) -> Membership:
        """Make a person a member; raises `AlreadyMemberError`."""
        membership = await self.memberships.add(Membership(user_id=user_id, role=role.value))
        await self.ctx.emit(MemberAdded(object_id=user_id, after={"role": role.value}))
        return membership

    async def user_ids(self) -> Sequence[uuid.UUID]:
        """Return who all the members are."""
        return (await self.ctx.session.scalars(select(Membership.user_id))).all()
