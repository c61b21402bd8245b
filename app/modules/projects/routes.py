"""HTTP of projects."""

import uuid
from typing import Annotated

from fastapi import Query, Response

from app.auth.permissions import access_control
from app.core.context import Context
from app.core.dependencies import Expected
from app.core.preconditions import etag, with_etag
from app.core.routing import Router, cbv
from app.core.schemas import TaskAccepted
from app.core.streams import StoredResponse
from app.core.tasks import enqueue
from app.files.schemas import FileQuery, FileResponse
from app.modules.projects.models import Project
from app.modules.projects.permissions import ProjectPermission, may_change, may_restore
from app.modules.projects.schemas import (
    AttachmentCreate,
    ProjectCreate,
    ProjectExport,
    ProjectQuery,
    ProjectResponse,
    ProjectUpdate,
)
from app.modules.projects.services import NDJSON, AttachmentService, ExportService, ProjectService
from app.modules.projects.tasks import export_projects
from app.utils.schemas import DefaultResponse, Page

router = Router(prefix="/projects", tags=["projects"], module="projects")


@cbv(router)
class ExportRoutes:
    """Projects in files."""

    context: Context
    exports: ExportService

    @router.post("/export", status_code=202)
    @access_control(ProjectPermission.read)
    async def export(self, response: Response, data: ProjectExport | None = None) -> TaskAccepted:
        """Begin to write the projects into a file; the task's result says where it is."""
        handle = await enqueue(self.context, export_projects, data.status if data else None)
        url = f"/api/v1/core/tasks/{handle.id}"
        response.headers["Location"] = url
        return TaskAccepted(task_id=handle.id, status_url=url)

    @router.get(
        "/exports/{export_id}",
        response_class=StoredResponse,
        responses={200: {"content": {NDJSON: {"schema": {"type": "string"}}}, "description": "One project a line."}},
    )
    @access_control(ProjectPermission.read)
    async def download(self, export_id: uuid.UUID) -> StoredResponse:
        """Fetch a file that was written."""
        size, content = await self.exports.open(export_id)
        headers = {"Content-Disposition": f'attachment; filename="projects-{export_id}.ndjson"'}
        return StoredResponse(content, media_type=NDJSON, headers={**headers, "Content-Length": str(size)})


@cbv(router)
class ProjectRoutes:
    """The projects of the selected tenant."""

    projects: ProjectService

    @router.post("", status_code=201, responses=with_etag(201))
    @access_control(ProjectPermission.write)
    async def create(self, data: ProjectCreate, response: Response) -> ProjectResponse:
        """Create a project."""
        return show(await self.projects.create(data), response)

    @router.get("")
    @access_control(ProjectPermission.read)
    async def list(self, query: Annotated[ProjectQuery, Query()]) -> Page[ProjectResponse]:
        """List projects, newest first unless `sort` says otherwise."""
        return await self.projects.list(query)

    @router.get("/{project_id}", responses=with_etag())
    @access_control(ProjectPermission.read)
    async def get(self, project_id: uuid.UUID, response: Response) -> ProjectResponse:
        """Show one project."""
        return show(await self.projects.get(project_id), response)

    @router.patch("/{project_id}", responses=with_etag())
    @access_control(ProjectPermission.write, check=may_change)
    async def update(
        self, project_id: uuid.UUID, data: ProjectUpdate, expected: Expected, response: Response
    ) -> ProjectResponse:
        """Change a project; with If-Match, only the version that was read."""
        return show(await self.projects.update(project_id, data, expected), response)

    @router.delete("/{project_id}")
    @access_control(ProjectPermission.write, check=may_change)
    async def delete(self, project_id: uuid.UUID, expected: Expected) -> DefaultResponse:
        """Delete a project; it can be restored."""
        await self.projects.delete(project_id, expected)
        return DefaultResponse(msg="The project was deleted.")

    @router.post("/{project_id}/restore", responses=with_etag())
    @access_control(ProjectPermission.write, check=may_restore)
    async def restore(self, project_id: uuid.UUID, response: Response) -> ProjectResponse:
        """Bring a deleted project back."""
        return show(await self.projects.restore(project_id), response)


@cbv(router)
class AttachmentRoutes:
    """The files of a project."""

    attachments: AttachmentService

    @router.get("/{project_id}/attachments")
    @access_control(ProjectPermission.read)
    async def list(self, project_id: uuid.UUID, query: Annotated[FileQuery, Query()]) -> Page[FileResponse]:
        """List the files that are attached, newest first."""
        return await self.attachments.list(project_id, query)

    @router.post("/{project_id}/attachments", status_code=201)
    @access_control(ProjectPermission.write, check=may_change)
    async def attach(self, project_id: uuid.UUID, data: AttachmentCreate) -> FileResponse:
        """Attach a file that was uploaded."""
        return FileResponse.model_validate(await self.attachments.attach(project_id, data.file_id))

    @router.delete("/{project_id}/attachments/{file_id}")
    @access_control(ProjectPermission.write, check=may_change)
    async def detach(self, project_id: uuid.UUID, file_id: uuid.UUID) -> DefaultResponse:
        """Take a file off; the file itself stays."""
        await self.attachments.detach(project_id, file_id)
        return DefaultResponse(msg="The file was detached.")


def show(project: Project, response: Response) -> ProjectResponse:
    """Return the project as the API shows it, its version in the ETag."""
    response.headers["ETag"] = etag(project.version)
    return ProjectResponse.model_validate(project)
