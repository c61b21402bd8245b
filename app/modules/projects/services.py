"""The rules of projects."""

import uuid
from collections.abc import AsyncIterator

from app.core.context import Context
from app.core.events import Event
from app.core.preconditions import Tags, refuse_stale
from app.core.tasks import report
from app.db.repository import changes
from app.files.models import StoredFile
from app.files.schemas import FileResponse
from app.files.services import FileService, ProductService, blocks_of
from app.modules.projects.events import (
    ProjectAttached,
    ProjectCreated,
    ProjectDeleted,
    ProjectDetached,
    ProjectRestored,
    ProjectsDownloaded,
    ProjectUpdated,
)
from app.modules.projects.exceptions import ExportNotFoundError
from app.modules.projects.models import Project, ProjectAttachment
from app.modules.projects.repository import AttachmentRepository, ProjectRepository
from app.modules.projects.schemas import (
    ExportResult,
    ProjectCreate,
    ProjectQuery,
    ProjectResponse,
    ProjectStatus,
    ProjectUpdate,
)
from app.utils.helpers import utcnow
from app.utils.schemas import Page, PageQuery

BATCH = 500
"""Projects that an export reads at a time."""

EXPORT = "projects.export"
"""The purpose of an export's file: it is no upload, and shown to who may see projects."""

NDJSON = "application/x-ndjson"


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


class AttachmentService:
    """Attach files of the tenant to its projects."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.projects, self.attachments = ProjectRepository(ctx.session), AttachmentRepository(ctx.session)
        self.files = FileService(ctx)

    async def list(self, project_id: uuid.UUID, query: PageQuery) -> Page[FileResponse]:
        """Return one page of a project's files; raises `ProjectNotFoundError`."""
        project = await self.projects.get(project_id)
        return await self.attachments.files(project.id, query)

    async def attach(self, project_id: uuid.UUID, file_id: uuid.UUID) -> StoredFile:
        """Attach a file; raises `ProjectNotFoundError`, `StoredFileNotFoundError` and `AlreadyAttachedError`."""
        project = await self.projects.get(project_id)
        file = await self.files.get(file_id)
        await self.attachments.add(ProjectAttachment(project_id=project.id, file_id=file.id))
        await self.ctx.emit(ProjectAttached(object_id=project.id, after={"file_id": str(file.id), "name": file.name}))
        return file

    async def detach(self, project_id: uuid.UUID, file_id: uuid.UUID) -> None:
        """Take a file off a project; raises `ProjectNotFoundError` and `AttachmentNotFoundError`."""
        project = await self.projects.get(project_id)
        attachment = await self.attachments.of(project.id, file_id)
        await self.ctx.session.delete(attachment)
        await self.ctx.session.flush()
        await self.ctx.emit(ProjectDetached(object_id=project.id, before={"file_id": str(file_id)}))


class ExportService:
    """Write the tenant's projects into files, one JSON document a line, and hand them out.

    Whoever may see projects may fetch any export of the tenant: it shows them nothing else. Its id is its task's.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.files = ProductService(ctx, EXPORT)
        self.projects = ProjectRepository(ctx.session)
        self.count = 0

    async def write(self, status: ProjectStatus | None) -> ExportResult:
        """Write a file, whole or not at all, in the task of this context; a second attempt writes it anew."""
        file = await self.files.write("projects.ndjson", self._lines(status), NDJSON)
        return ExportResult(file=f"/api/v1/projects/exports/{file.id}", count=self.count, size=file.size)

    async def _lines(self, status: ProjectStatus | None) -> AsyncIterator[bytes]:
        """Yield the lines of some projects at a time, and report how far it is."""
        total = await self.projects.count(status)
        async for batch in self.projects.batches(status, BATCH):
            yield b"".join(project.model_dump_json().encode() + b"\n" for project in batch)
            self.count += len(batch)
            await report(self.ctx, done=self.count, total=max(self.count, total))

    async def open(self, export_id: uuid.UUID) -> tuple[int, AsyncIterator[bytes]]:
        """Return a file's size and its content, block by block, and audit it; raises `ExportNotFoundError`."""
        file = await self.files.find(export_id)
        if file is None:
            raise ExportNotFoundError
        await self.ctx.track(ProjectsDownloaded(object_id=export_id))
        return file.size, blocks_of(self.ctx, export_id, 0, file.size)
