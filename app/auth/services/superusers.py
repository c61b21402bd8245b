"""What superusers see and do across all tenants: never what tenants work on, and never unseen."""

import uuid

from sqlalchemy import or_, select

from app.auth.events import UserDisabled, UserEnabled, UsersSearched
from app.auth.exceptions import OwnAccountError
from app.auth.services.sessions import end_sessions
from app.core.context import Context
from app.db.repository import contains
from app.db.tenancy import SYSTEM_TENANT_ID
from app.tenants.events import TenantResumed, TenantsSearched, TenantSuspended
from app.tenants.exceptions import UnknownTenantError
from app.tenants.models import Tenant
from app.tenants.repository import TenantRepository
from app.tenants.schemas import TenantQuery, TenantResponse
from app.users.exceptions import UserNotFoundError
from app.users.models import User
from app.users.repository import UserRepository
from app.users.schemas import UserOverview, UserQuery
from app.utils.helpers import utcnow
from app.utils.schemas import Page

WHY = "a superuser's look across tenants"


class OversightService:
    """Look at tenants and people, and stop those that must be stopped."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def tenants(self, query: TenantQuery) -> Page[TenantResponse]:
        """Return tenants, newest first. The look is audited first, whatever it finds."""
        await self.ctx.track(TenantsSearched(after={"search": query.search}))
        statement = select(Tenant).where(Tenant.id != SYSTEM_TENANT_ID)
        if query.search:
            statement = statement.where(contains(Tenant.name, query.search))
        async with self.ctx.reader() as look:
            await look.session.look_across_tenants()
            tenants = TenantRepository(look.session)
            return await tenants.page(query, statement.execution_options(unscoped=WHY), "-created_at", TenantResponse)

    async def users(self, query: UserQuery) -> Page[UserOverview]:
        """Return people, newest first. The look is audited first, whatever it finds."""
        await self.ctx.track(UsersSearched(after={"search": query.search}))
        users = UserRepository(self.ctx.session)
        statement = users.select()
        if query.search:
            found = contains(User.email, query.search), contains(User.full_name, query.search)
            statement = statement.where(or_(*found))
        return await users.page(query, statement, "-created_at", UserOverview)

    async def suspend(self, tenant_id: uuid.UUID) -> Tenant:
        """Refuse everybody in a tenant, from the next request on; idempotent. Raises `UnknownTenantError`."""
        inside, tenant = await self._tenant(tenant_id)
        if tenant.suspended_at is None:
            tenant.suspended_at = utcnow()
            await inside.session.flush()
            await inside.emit(TenantSuspended(object_id=tenant_id, after={"suspended_at": tenant.suspended_at}))
        return tenant

    async def resume(self, tenant_id: uuid.UUID) -> Tenant:
        """Let a tenant go on; idempotent. Raises `UnknownTenantError`."""
        inside, tenant = await self._tenant(tenant_id)
        if tenant.suspended_at is not None:
            before, tenant.suspended_at = tenant.suspended_at, None
            await inside.session.flush()
            await inside.emit(TenantResumed(object_id=tenant_id, before={"suspended_at": before}))
        return tenant

    async def _tenant(self, tenant_id: uuid.UUID) -> tuple[Context, Tenant]:
        """Enter a tenant and return its row; the tenant of what happens without one is none."""
        inside = await self.ctx.enter(tenant_id)
        tenant = await TenantRepository(inside.session).find(tenant_id)
        if tenant is None or tenant_id == SYSTEM_TENANT_ID:
            raise UnknownTenantError
        return inside, tenant

    async def disable(self, user_id: uuid.UUID) -> None:
        """Refuse a person everywhere, and end their sessions; idempotent.

        Raises `UserNotFoundError`, and `OwnAccountError` for one's own account: nobody locks the last superuser out.
        """
        if user_id == self.ctx.actor_id:
            raise OwnAccountError
        user = await self._user(user_id)
        if user.disabled_at is None:
            user.disabled_at = utcnow()
            await end_sessions(self.ctx, user_id)
            inside = await self.ctx.enter(SYSTEM_TENANT_ID)
            await inside.emit(UserDisabled(object_id=user_id, after={"disabled_at": user.disabled_at}))

    async def enable(self, user_id: uuid.UUID) -> None:
        """Let a person sign in again; idempotent. Raises `UserNotFoundError`."""
        user = await self._user(user_id)
        if user.disabled_at is not None:
            before, user.disabled_at = user.disabled_at, None
            inside = await self.ctx.enter(SYSTEM_TENANT_ID)
            await inside.emit(UserEnabled(object_id=user_id, before={"disabled_at": before}))

    async def _user(self, user_id: uuid.UUID) -> User:
        """Return a person's row, locked: two who disable one account at once take turns."""
        user: User | None = await self.ctx.session.scalar(select(User).where(User.id == user_id).with_for_update())
        if user is None:
            raise UserNotFoundError
        return user
