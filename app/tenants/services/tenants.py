"""The rules of tenants themselves."""

import uuid

from app.core.context import Context
from app.core.events import Event
from app.core.permissions import BuiltInRole
from app.core.preconditions import Tags, refuse_stale
from app.db.repository import changes
from app.tenants.events import TenantCreated, TenantDeleted, TenantRestored, TenantUpdated
from app.tenants.models import Membership, Tenant
from app.tenants.repository import TenantRepository
from app.tenants.schemas import TenantResponse, TenantUpdate
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page, PageQuery


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
        """Return the tenants of which the caller is a member, oldest first; what was purged is gone."""
        living = self.tenants.select().where(Tenant.purged_at.is_(None))
        return await self.tenants.page(query, living, "created_at", TenantResponse)


class CurrentTenantService:
    """The selected tenant itself."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.tenants = TenantRepository(ctx.session)

    async def get(self) -> Tenant:
        """Return the tenant."""
        return await self.tenants.current()

    async def update(self, data: TenantUpdate, expected: Tags) -> Tenant:
        """Change what `data` names; raises `PreconditionFailedError` when the caller has read another version."""
        tenant = await self.tenants.current()
        refuse_stale(tenant.version, expected)
        for name, value in data.model_dump(exclude_unset=True).items():
            setattr(tenant, name, sorted(set(value)) if isinstance(value, list) else value)
        await self._save(tenant, TenantUpdated)
        return tenant

    async def delete(self, expected: Tags) -> None:
        """Close the tenant; its rows stay for `tenants.grace_days`, in which `restore` opens it again. Idempotent."""
        tenant = await self.tenants.current()
        refuse_stale(tenant.version, expected)
        tenant.deleted_at = tenant.deleted_at or utcnow()
        await self._save(tenant, TenantDeleted)

    async def restore(self) -> Tenant:
        """Open a deleted tenant again; idempotent."""
        tenant = await self.tenants.current()
        tenant.deleted_at = None
        await self._save(tenant, TenantRestored)
        return tenant

    async def _save(self, tenant: Tenant, announcement: type[Event]) -> None:
        """Write what was changed and announce it; where nothing was, neither."""
        before, after = changes(tenant)
        if after:
            await self.ctx.session.flush()
            await self.ctx.emit(announcement(object_id=tenant.id, before=before, after=after))
