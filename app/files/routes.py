"""HTTP of files."""

import uuid
from typing import Annotated, Any

from fastapi import Header, Query, Request

from app.auth.permissions import access_control
from app.core.openapi import PROBLEM
from app.core.routing import Router, cbv
from app.core.streams import StoredResponse, Streamed, read_range
from app.files.models import StoredFile
from app.files.permissions import FilePermission, may_delete
from app.files.schemas import FileLink, FileName, FileQuery, FileResponse
from app.files.services import FileService, UploadService
from app.files.utils import SANDBOX, SERVED, disposition, served_type
from app.utils.schemas import DefaultResponse, Page, Unset

router = Router(prefix="/files", tags=["files"])

BYTES = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in SERVED}
CONTENT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The content; a type that a browser may show is shown, any other saved", "content": BYTES},
    206: {"description": "The part that Range asks for", "content": BYTES},
    416: {"description": "The file has no such bytes", "content": PROBLEM},
}


@cbv(router)
class UploadRoutes:
    """Files on their way in."""

    uploads: UploadService

    @router.post("", status_code=201)
    @access_control(FilePermission.write)
    async def upload(self, name: Annotated[FileName, Query()], content: Streamed) -> FileResponse:
        """Upload a file: its content is the body, whatever it is.

        What Content-Length announces is set aside first; without it, what is left of the tenant's quota.
        """
        file = await self.uploads.take(name, content, content.length, content.limit)
        return FileResponse.model_validate(file)


@cbv(router)
class FileRoutes:
    """The files of the selected tenant."""

    files: FileService

    @router.get("")
    @access_control(FilePermission.read)
    async def list(self, query: Annotated[FileQuery, Query()]) -> Page[FileResponse]:
        """List files, newest first."""
        return await self.files.list(query)

    @router.get("/{file_id}")
    @access_control(FilePermission.read)
    async def get(self, file_id: uuid.UUID) -> FileResponse:
        """Show what is known of a file."""
        return FileResponse.model_validate(await self.files.get(file_id))

    @router.get("/{file_id}/content", response_class=StoredResponse, responses=CONTENT)
    @access_control(FilePermission.read)
    async def content(
        self,
        file_id: uuid.UUID,
        range_: Annotated[str | Unset, Header(alias="Range", description="one part: bytes=0-1023")] = None,
        if_range: Annotated[str | Unset, Header(alias="If-Range", description="the ETag of the other parts")] = None,
    ) -> StoredResponse:
        """Download a file, or a part of it."""
        file = await self.files.get(file_id)
        wanted = range_ if if_range in {None, tag(file)} else None
        part = read_range(wanted or "", file.size)
        start, stop = part or (0, file.size)
        headers = {**heads(file), "Content-Length": str(stop - start)}
        if part:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
        content = await self.files.download(file, start, stop)
        return StoredResponse(content, 206 if part else 200, headers, media_type=served_type(file.content_type))

    @router.get("/{file_id}/link")
    @access_control(FilePermission.read)
    async def link(self, file_id: uuid.UUID, request: Request) -> FileLink:
        """Get an address that a browser can be sent to; from the store itself, where it serves files."""
        return await self.files.link(file_id, request.url.path.removesuffix("/link") + "/content")

    @router.delete("/{file_id}")
    @access_control(FilePermission.write, check=may_delete)
    async def delete(self, file_id: uuid.UUID) -> DefaultResponse:
        """Delete a file, wherever it is attached."""
        await self.files.delete(file_id)
        return DefaultResponse(msg="The file was deleted.")


def tag(file: StoredFile) -> str:
    """Return the ETag of a file's content."""
    return f'"{file.sha256}"'


def heads(file: StoredFile) -> dict[str, str]:
    """Return what a browser must know of a file before it shows it."""
    return {
        "Accept-Ranges": "bytes",
        "Content-Disposition": disposition(file.name, file.content_type),
        "Content-Security-Policy": SANDBOX,
        "ETag": tag(file),
    }
