"""Work on tenants that nobody asks for."""

import datetime as dt

from app.config import settings
from app.core.context import Context
from app.core.tasks import task
from app.files.schemas import SweepResult
from app.files.services import SweepService
from app.tenants.services import RetentionService


@task(name="tenants.purge", retries=0, timeout=3600, system=True)
async def purge_tenants(ctx: Context) -> int:
    """Remove for good the tenants whose time of grace is over; return how many."""
    return len(await RetentionService(ctx).purge())


@task(name="files.sweep", retries=0, timeout=3600, system=True)
async def sweep_files(ctx: Context) -> SweepResult:
    """Remove what no upload will end, what is over, and what no row knows, in all tenants; return how much.

    It stands here because `files` does not know which tenants there are.
    """
    older = dt.timedelta(seconds=settings.files.abandoned_seconds)
    return await SweepService(ctx).sweep(await RetentionService(ctx).everyone(), older)
