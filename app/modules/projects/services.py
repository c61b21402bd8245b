"""The rules of projects."""

import uuid

from app.core.context import Context
from app.core.events import Event
from app.core.preconditions import Tags, refuse_stale
from app.db.repository import changes
from app.modules.projects.events import ProjectCreated, ProjectDeleted, ProjectRestored, ProjectUpdated
from app.modules.projects.models import Project
from app.modules.projects.repository import ProjectRepository
from app.modules.projects.schemas import ProjectCreate, ProjectQuery, ProjectResponse, ProjectUpdate
from app.utils.helpers import utcnow
from app.utils.schemas import Page


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
