"""What is removed for good, when its time of grace is over."""

import datetime as dt
import uuid
from collections.abc import Iterator
from typing import Any

from sqlalchemy import delete, select

from app.config import settings
from app.core.context import Context
from app.core.turns import Turns
from app.db.base import Base
from app.db.mixin import TenantMixin
from app.db.tenancy import VERBS
from app.tenants.events import TenantPurged
from app.tenants.models import Tenant
from app.utils.helpers import utcnow

WHY = "finds what is due, in all tenants"


class RetentionService:
    """Remove deleted tenants; for a unit of work without a tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def purge(self) -> list[uuid.UUID]:
        """Remove every row of the tenants whose time of grace is over, each in a transaction of its own; return which.

        What stays is the audit, which nobody can delete from, and the tenant's row without its name, which the audit
        refers to. May be run at any time, and by two at once. Raises `TenantsFailedError` at the end.
        """
        turns, removed = Turns("tenants.purge"), list[uuid.UUID]()
        for tenant_id in await self._due():
            with turns.of(tenant_id):
                if await self._remove(tenant_id):
                    removed.append(tenant_id)
        turns.end()
        return removed

    async def everyone(self) -> list[uuid.UUID]:
        """Return every tenant there ever was: also of one that is gone something may be left to sweep."""
        async with self.ctx.reader() as look:
            await look.session.look_across_tenants()
            return list(await look.session.scalars(select(Tenant.id).execution_options(unscoped=WHY)))

    async def _due(self) -> list[uuid.UUID]:
        """Return the tenants whose time of grace is over, those that are longest due first."""
        async with self.ctx.reader() as look:
            await look.session.look_across_tenants()
            due = select(Tenant.id).where(Tenant.deleted_at < grace_began(), Tenant.purged_at.is_(None))
            due = due.order_by(Tenant.deleted_at).execution_options(unscoped=WHY)
            return list(await look.session.scalars(due))

    async def _remove(self, tenant_id: uuid.UUID) -> bool:
        """Remove one tenant's rows; False when it was restored, or removed, in the meantime."""
        async with self.ctx.separate(tenant_id) as inside:
            due = Tenant.deleted_at < grace_began(), Tenant.purged_at.is_(None)
            tenant = await inside.session.scalar(select(Tenant).where(*due).with_for_update())
            if tenant is None:
                return False
            for model in removable():
                await inside.session.execute(delete(model).execution_options(with_deleted=True))
            tenant.name, tenant.purged_at = "", utcnow()
            await inside.session.flush()
            await inside.emit(TenantPurged(object_id=tenant_id))
            return True


def grace_began() -> dt.datetime:
    """Return when a tenant was deleted whose time of grace ends now."""
    return utcnow() - dt.timedelta(days=settings.tenants.grace_days)


def removable() -> Iterator[type[Any]]:
    """Yield the classes of a tenant's rows that may be deleted, children before their parents."""
    classes = {mapper.local_table: mapper.class_ for mapper in Base.registry.mappers}
    for table in reversed(Base.metadata.sorted_tables):
        model = classes.get(table)
        if model is not None and issubclass(model, TenantMixin) and "delete" in table.info.get("verbs", VERBS):
            yield model
