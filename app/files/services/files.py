"""Files that are there: to be found, handed out and deleted."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator

from app.config import settings
from app.core.context import Context
from app.files.events import FileDeleted, FileDownloaded, FileLinked
from app.files.models import StoredFile
from app.files.repository import FileRepository
from app.files.schemas import FileLink, FileResponse
from app.files.services.store import blocks_of, key_of, reached, release
from app.files.utils import disposition, served_type
from app.services.filesystem import Link
from app.utils.helpers import utcnow
from app.utils.schemas import Page, PageQuery


class FileService:
    """Find files, hand them out, delete them."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.store = ctx, ctx.services.files
        self.files = FileRepository(ctx.session)

    async def list(self, query: PageQuery) -> Page[FileResponse]:
        """Return one page of the tenant's files, newest first."""
        return await self.files.list(query)

    async def get(self, file_id: uuid.UUID) -> StoredFile:
        """Return one file; raises `StoredFileNotFoundError`, also for one that is still on its way."""
        return await self.files.get(file_id)

    async def download(self, file: StoredFile, start: int, stop: int) -> AsyncIterator[bytes]:
        """Return a part of a file, block by block, and audit it; what is read raises as `blocks_of` does."""
        await self.ctx.track(FileDownloaded(object_id=file.id, after={"name": file.name}))
        return blocks_of(self.ctx, file.id, start, stop)

    async def link(self, file_id: uuid.UUID, otherwise: str) -> FileLink:
        """Return an address that a file can be fetched from without a sign-in, and audit it.

        Where the store serves nobody, it is `otherwise`.
        """
        file = await self.get(file_id)
        seconds = settings.files.link_seconds
        look = Link(seconds, served_type(file.content_type), disposition(file.name, file.content_type))
        with reached():
            url = await self.store.link(key_of(self.ctx, file_id), look)
        if url is None:
            return FileLink(url=otherwise, expires_at=None)
        await self.ctx.track(FileLinked(object_id=file.id, after={"name": file.name, "seconds": seconds}))
        return FileLink(url=url, expires_at=utcnow() + dt.timedelta(seconds=seconds))

    async def delete(self, file_id: uuid.UUID) -> None:
        """Delete a file; its object goes once that is committed. Raises `StoredFileNotFoundError`."""
        file = await self.files.get(file_id, locked=True)
        await release(self.ctx, file.share)
        await self.ctx.session.delete(file)
        await self.ctx.session.flush()
        await self.ctx.emit(FileDeleted(object_id=file.id, before={"name": file.name, "size": file.size}))
