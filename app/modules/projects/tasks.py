"""Work on projects that takes longer than a request."""

import datetime as dt

from app.config import settings
from app.core.context import Context
from app.core.tasks import task
from app.modules.projects.schemas import ExportResult, ProjectStatus
from app.modules.projects.services import ExportService


@task(name="projects.export", retries=2, timeout=3600)
async def export_projects(ctx: Context, status: ProjectStatus | None = None) -> ExportResult:
    """Write the tenant's projects into a file."""
    return await ExportService(ctx).write(status)


@task(name="files.sweep", retries=0, system=True)
async def sweep_files(ctx: Context) -> int:
    """Remove the files of all tenants that were written `files.kept_days` ago; return how many."""
    return await ctx.services.files.remove_older(dt.timedelta(days=settings.files.kept_days))
