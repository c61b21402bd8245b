"""Which tenants there are, for work that nobody asks for and that each of them wants."""

import uuid

from sqlalchemy import select

from app.core.context import Context
from app.db.tenancy import SYSTEM_TENANT_ID
from app.tenants.models import Tenant


class DirectoryService:
    """Find tenants by what they use; for a unit of work of the system."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def using(self, module: str) -> list[uuid.UUID]:
        """Return the tenants that are neither deleted nor suspended and have a module switched on."""
        async with self.ctx.reader() as look:
            await look.session.look_across_tenants()
            found = select(Tenant.id).where(
                Tenant.deleted_at.is_(None),
                Tenant.suspended_at.is_(None),
                Tenant.disabled_modules.contains([module]).is_(False),
                Tenant.id != SYSTEM_TENANT_ID,
            )
            return list(await look.session.scalars(found.execution_options(unscoped="finds users of a module")))
