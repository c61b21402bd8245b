"""Work on projects that takes longer than a request."""

from app.core.context import Context
from app.core.tasks import task
from app.modules.projects.schemas import ExportResult, ProjectStatus
from app.modules.projects.services import ExportService


@task(name="projects.export", retries=2, timeout=3600)
async def export_projects(ctx: Context, status: ProjectStatus | None = None) -> ExportResult:
    """Write the tenant's projects into a file."""
    return await ExportService(ctx).write(status)
