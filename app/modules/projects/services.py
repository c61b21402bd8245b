"""The rules of projects."""

import uuid
from collections.abc import AsyncIterator

from app.core.context import Context
from app.core.events import Event
from app.core.preconditions import Tags, refuse_stale
from app.core.tasks import report
from app.db.repository import changes
from app.modules.projects.events import (
    ProjectCreated,
    ProjectDeleted,
    ProjectRestored,
    ProjectsDownloaded,
    ProjectUpdated,
)
from app.modules.projects.exceptions import ExportNotFoundError
from app.modules.projects.models import Project
from app.modules.projects.repository import ProjectRepository
from app.modules.projects.schemas import (
    ExportResult,
    ProjectCreate,
    ProjectQuery,
    ProjectResponse,
    ProjectStatus,
    ProjectUpdate,
)
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page

BATCH = 500
"""Projects that an export reads at a time."""


class ProjectService:
    """Create, find and change the projects of the context's tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.projects = ProjectRepository(ctx.session)

    async def create(self, data: ProjectCreate) -> Project:
        """Add a project; raises `ProjectNameTakenError`."""
        project = Project(name=data.name, description=data.description, created_by=self.ctx.actor_id)
        _, after = changes(project)
        await self.projects.add(project)
        await self.ctx.emit(ProjectCreated(object_id=project.id, name=project.name, after=after))
        return project

    async def get(self, project_id: uuid.UUID) -> Project:
        """Return one project; raises `ProjectNotFoundError` for a missing, a deleted or a foreign one."""
        return await self.projects.get(project_id)

    async def list(self, query: ProjectQuery) -> Page[ProjectResponse]:
        """Return one page of projects."""
        return await self.projects.list(query)

    async def update(self, project_id: uuid.UUID, data: ProjectUpdate, expected: Tags) -> Project:
        """Change what `data` names; raises `PreconditionFailedError` when the caller has read another version."""
        project = await self.projects.get(project_id)
        refuse_stale(project.version, expected)
        for name, value in data.model_dump(exclude_unset=True).items():
            setattr(project, name, value)
        await self._save(project, ProjectUpdated)
        return project

    async def delete(self, project_id: uuid.UUID, expected: Tags) -> None:
        """Hide a project until it is restored; raises `PreconditionFailedError` for another version."""
        project = await self.projects.get(project_id)
        refuse_stale(project.version, expected)
        project.deleted_at = utcnow()
        await self._save(project, ProjectDeleted)

    async def restore(self, project_id: uuid.UUID) -> Project:
        """Bring a deleted project back; idempotent. Raises `ProjectNameTakenError` when the name went to another."""
        project = await self.projects.get(project_id, with_deleted=True)
        project.deleted_at = None
        await self._save(project, ProjectRestored)
        return project

    async def _save(self, project: Project, announcement: type[Event]) -> None:
        """Write what was changed and announce it; where nothing was, neither."""
        before, after = changes(project)
        if after:
            await self.ctx.session.flush()
            await self.ctx.emit(announcement(object_id=project.id, before=before, after=after))


class ExportService:
    """Write the tenant's projects into files, one JSON document a line, and hand them out.

    Whoever may see projects may fetch any export of the tenant: it shows them nothing else. Its id is its task's.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.files = ctx, ctx.services.files
        self.projects = ProjectRepository(ctx.session)

    async def write(self, status: ProjectStatus | None) -> ExportResult:
        """Write a file, whole or not at all, in the task of this context; a second attempt writes it anew."""
        total, count, size = await self.projects.count(status), 0, 0
        export_id = self.ctx.entry_id or uuid7()
        async with self.files.create(self.name(export_id)) as write:
            async for batch in self.projects.batches(status, BATCH):
                lines = b"".join(project.model_dump_json().encode() + b"\n" for project in batch)
                await write(lines)
                count, size = count + len(batch), size + len(lines)
                await report(self.ctx, done=count, total=max(count, total))
        return ExportResult(file=f"/api/v1/projects/exports/{export_id}", count=count, size=size)

    async def open(self, export_id: uuid.UUID) -> tuple[int, AsyncIterator[bytes]]:
        """Return a file's size and its content, block by block, and audit it; raises `ExportNotFoundError`."""
        size = await self.files.size(self.name(export_id))
        if size is None:
            raise ExportNotFoundError
        await self.ctx.track(ProjectsDownloaded(object_id=export_id))
        return size, self.files.read(self.name(export_id))

    def name(self, export_id: uuid.UUID) -> str:
        """Return what an export of this tenant is called in the store."""
        return f"{self.ctx.tenant_id}/{export_id}.ndjson"
