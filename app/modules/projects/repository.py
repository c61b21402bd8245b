"""The queries of projects."""

import uuid
from collections.abc import AsyncIterator

from sqlalchemy import func, select

from app.db.repository import Repository
from app.files.repository import FileRepository
from app.files.schemas import FileResponse
from app.modules.projects.exceptions import AttachmentNotFoundError, ProjectNotFoundError
from app.modules.projects.models import Project, ProjectAttachment
from app.modules.projects.schemas import ProjectQuery, ProjectResponse, ProjectStatus
from app.utils.schemas import Page, PageQuery


class ProjectRepository(Repository[Project]):
    """Projects of the session's tenant; the session hides those of others, and the deleted ones."""

    model = Project
    missing = ProjectNotFoundError

    async def batches(self, status: ProjectStatus | None, size: int) -> AsyncIterator[list[ProjectResponse]]:
        """Yield every project that is there from beginning to end, so many at a time, the oldest first.

        Each batch is a statement of its own, from where the last one ended: memory stays flat, however many there are.
        """
        columns = [getattr(Project, name) for name in ProjectResponse.model_fields]
        statement = select(*columns).order_by(Project.id).limit(size)
        if status is not None:
            statement = statement.where(Project.status == status)
        page = statement
        while rows := (await self.session.execute(page)).all():
            yield [ProjectResponse.model_validate(row) for row in rows]
            page = statement.where(Project.id > rows[-1].id)

    async def count(self, status: ProjectStatus | None) -> int:
        """Return how many projects there are."""
        statement = select(func.count(Project.id))
        if status is not None:
            statement = statement.where(Project.status == status)
        return await self.session.scalar(statement) or 0

    async def list(self, query: ProjectQuery) -> Page[ProjectResponse]:
        """Return one page of the projects that the query asks for."""
        statement = self.select()
        if query.status is not None:
            statement = statement.where(Project.status == query.status)
        return await self.page(query, statement, query.sort, ProjectResponse)


class AttachmentRepository(Repository[ProjectAttachment]):
    """Which files are attached to which projects."""

    model = ProjectAttachment
    missing = AttachmentNotFoundError

    async def of(self, project_id: uuid.UUID, file_id: uuid.UUID) -> ProjectAttachment:
        """Return one, locked; raises `AttachmentNotFoundError`."""
        one = ProjectAttachment.project_id == project_id, ProjectAttachment.file_id == file_id
        found: ProjectAttachment | None = await self.session.scalar(self.select().where(*one).with_for_update())
        if found is None:
            raise self.missing
        return found

    async def files(self, project_id: uuid.UUID, query: PageQuery) -> Page[FileResponse]:
        """Return one page of a project's files, newest first."""
        files = FileRepository(self.session)
        attached = select(ProjectAttachment.file_id).where(ProjectAttachment.project_id == project_id)
        statement = files.select().where(files.model.id.in_(attached))
        return await files.page(query, statement, "-created_at", FileResponse)
