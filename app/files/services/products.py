"""Files that the application writes itself."""

import datetime as dt
import uuid
from collections.abc import AsyncIterable

from app.config import settings
from app.core.context import Context
from app.files.models import FileStatus, StoredFile
from app.files.repository import FileRepository
from app.files.services.store import Intake, announce, key_of, reached
from app.utils.helpers import utcnow, uuid7


class ProductService:
    """Keep files that the application writes itself, in a task: each has a purpose, an end, and no share of the quota.

    Row and task are one transaction. Killed before it, an object is left that no row knows, which a sweep removes.
    """

    def __init__(self, ctx: Context, purpose: str) -> None:
        self.ctx, self.store = ctx, ctx.services.files
        self.files = FileRepository(ctx.session)
        self.files.purpose = purpose

    async def write(self, name: str, content: AsyncIterable[bytes], content_type: str) -> StoredFile:
        """Write a file, whole or not at all; it is called as the task is, and a second attempt writes it anew."""
        file_id, seen = self.ctx.entry_id or uuid7(), Intake()
        await self.files.hold(file_id)
        with reached():
            async with self.store.create(key_of(self.ctx, file_id)) as write:
                async for block in content:
                    await seen.take(block, write)
        file = StoredFile(
            id=file_id,
            name=name,
            purpose=self.files.purpose,
            status=FileStatus.stored,
            content_type=content_type,
            size=seen.size,
            charged=0,
            sha256=seen.digest.hexdigest(),
            created_by=self.ctx.actor_id,
            expires_at=utcnow() + dt.timedelta(days=settings.files.kept_days),
        )
        await self.files.add(file)
        await announce(self.ctx, file)
        return file

    async def find(self, file_id: uuid.UUID) -> StoredFile | None:
        """Return a file of this purpose, or None."""
        return await self.files.find(file_id)
