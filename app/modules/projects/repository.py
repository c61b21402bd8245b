"""The queries of projects."""

from app.db.repository import Repository
from app.modules.projects.exceptions import ProjectNotFoundError
from app.modules.projects.models import Project
from app.modules.projects.schemas import ProjectQuery, ProjectResponse
from app.utils.schemas import Page


class ProjectRepository(Repository[Project]):
    """Projects of the session's tenant; the session hides those of others, and the deleted ones."""

    model = Project
    missing = ProjectNotFoundError

    async def list(self, query: ProjectQuery) -> Page[ProjectResponse]:
        """Return one page of the projects that the query asks for."""
        statement = self.select()
        if query.status is not None:
            statement = statement.where(Project.status == query.status)
        return await self.page(query, statement, query.sort, ProjectResponse)
