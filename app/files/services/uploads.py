"""What people send: room for it, its bytes, and the row that says that it is there."""

from collections.abc import AsyncIterable

from app.config import settings
from app.core.context import Context
from app.exceptions import AppError
from app.extensions.logs import get_logger
from app.files.exceptions import FileQuotaError, UploadGivenUpError
from app.files.models import FileStatus, StoredFile
from app.files.repository import FileRepository, UsageRepository
from app.files.services.store import Intake, announce, key_of, reached, release, tenant_of
from app.files.utils import charge, sniff

log = get_logger(__name__)


class UploadService:
    """Take in what somebody sends, for a Context whose own unit of work is over: no connection waits for a client.

    A row and its share of the quota are there before the first byte is stored, and the object before the row says so:
    whenever the process dies, what is left is a row on its way, which `SweepService` removes with its object.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.store = ctx, ctx.services.files

    async def take(self, name: str, content: AsyncIterable[bytes], length: int | None, limit: int) -> StoredFile:
        """Store a file of so many bytes, or of at most `limit` where `length` is not known.

        Raises `FileQuotaError`, `FileStoreAwayError`, `UploadGivenUpError`, and whatever `content` raises.
        """
        file = await self._reserve(name, length, limit)
        try:
            return await self._settle(file, await self._write(file, content))
        except BaseException:
            await self._discard(file)
            raise

    async def _reserve(self, name: str, length: int | None, limit: int) -> StoredFile:
        """Set room aside: what is needed, or, where nobody knows, what there is."""
        async with self.ctx.separate() as inside:
            usage = await UsageRepository(inside.session).locked(tenant_of(inside))
            room = settings.files.tenant_quota - usage.size
            size = min(limit, room) if length is None else length
            charged = charge(size)
            if charged > room:
                raise FileQuotaError
            usage.size += charged
            file = StoredFile(
                name=name, status=FileStatus.pending, size=size, charged=charged, created_by=inside.actor_id
            )
            inside.quiet("a file is announced when it is there")
            return await FileRepository(inside.session).add(file)

    async def _write(self, file: StoredFile, content: AsyncIterable[bytes]) -> Intake:
        """Let the content through to the store; return what was seen of it."""
        seen = Intake()
        with reached():
            async with self.store.create(key_of(self.ctx, file.id)) as write:
                async for block in content:
                    if seen.size + len(block) > file.size:
                        raise FileQuotaError
                    await seen.take(block, write)
        return seen

    async def _settle(self, reserved: StoredFile, seen: Intake) -> StoredFile:
        """Say that the file is there, and give back what it did not need."""
        async with self.ctx.separate() as inside:
            file = await FileRepository(inside.session).pending(reserved.id)
            if file is None:
                raise UploadGivenUpError
            charged = charge(seen.size)
            await release(inside, file.share - charged)
            file.size, file.charged, file.status = seen.size, charged, FileStatus.stored
            file.sha256, file.content_type = seen.digest.hexdigest(), sniff(seen.head)
            await announce(inside, file)
            return file

    async def _discard(self, file: StoredFile) -> None:
        """Take back an upload that failed; what cannot be done now is left to the sweep.

        A row that is stored after all, because its commit was made and only the answer lost, stays, and its object.
        """
        try:
            async with self.ctx.separate() as inside:
                pending = await FileRepository(inside.session).pending(file.id)
                if pending is None:
                    return
                await release(inside, pending.share)
                await inside.session.delete(pending)
                inside.quiet("a file that was never there")
            await self.store.remove(key_of(self.ctx, file.id))
        except (AppError, OSError) as error:
            log.warning("upload_left_to_sweep", file_id=str(file.id), error=str(error))
