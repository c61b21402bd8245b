"""Work on tenants that nobody asks for."""

from app.core.context import Context
from app.core.tasks import task
from app.tenants.services import RetentionService


@task(name="tenants.purge", retries=0, timeout=3600, system=True)
async def purge_tenants(ctx: Context) -> int:
    """Remove for good the tenants whose time of grace is over; return how many."""
    return len(await RetentionService(ctx).purge())
