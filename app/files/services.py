"""The rules of files."""

import datetime as dt
import hashlib
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager

from app.config import settings
from app.core.context import Context
from app.core.turns import Turns
from app.exceptions import AppError
from app.extensions.logs import get_logger
from app.files.events import FileDeleted, FileDownloaded, FileLinked, FileStored
from app.files.exceptions import FileQuotaError, FileStoreAwayError, StoredFileNotFoundError, UploadGivenUpError
from app.files.models import FileStatus, StoredFile
from app.files.repository import FileRepository, UsageRepository
from app.files.schemas import FileLink, FileResponse, SweepResult
from app.files.utils import HEAD, charge, disposition, served_type, sniff
from app.services.filesystem import FileKey, Link, Write
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page, PageQuery

BATCH = 500
"""Objects of the store that a sweep asks the database about at a time."""

log = get_logger(__name__)


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

    async def _write(self, file: StoredFile, content: AsyncIterable[bytes]) -> "Intake":
        """Let the content through to the store; return what was seen of it."""
        seen = Intake()
        with reached():
            async with self.store.create(key_of(self.ctx, file.id)) as write:
                async for block in content:
                    if seen.size + len(block) > file.size:
                        raise FileQuotaError
                    await seen.take(block, write)
        return seen

    async def _settle(self, reserved: StoredFile, seen: "Intake") -> StoredFile:
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


class Intake:
    """What was seen of a content that passed: its size, its digest, and its head, which tells its type."""

    def __init__(self) -> None:
        self.size, self.head, self.digest = 0, b"", hashlib.sha256()

    async def take(self, block: bytes, write: Write) -> None:
        """Note a block, and write it."""
        if len(self.head) < HEAD:
            self.head = (self.head + block)[:HEAD]
        self.size += len(block)
        self.digest.update(block)
        await write(block)


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


class SweepService:
    """Remove what nobody will end or ask for; for a unit of work in the system tenant. Two at once do no harm."""

    def __init__(self, ctx: Context) -> None:
        self.ctx, self.store = ctx, ctx.services.files

    async def sweep(self, tenants: Collection[uuid.UUID], older: dt.timedelta) -> SweepResult:
        """Remove uploads that began longer ago, what has expired, and objects that no row of their tenant knows.

        What is of other tenants than these is left alone: a store may serve more than one installation. Raises
        `FileStoreAwayError`, and `TenantsFailedError` at the end; what was not reached is removed the next time.
        """
        given_up = expired = orphans = 0
        turns = Turns("files.sweep")
        for tenant_id in tenants:
            with turns.of(tenant_id):
                dropped, over = await self._rows(tenant_id, older)
                given_up, expired = given_up + dropped, expired + over
        with reached():
            async for batch in batches(self.store.unfinished(older), tenants):
                with turns.of(batch[0].tenant_id):
                    given_up += await self._unknown(batch, self.store.give_up)
            async for batch in batches(self.store.older(older), tenants):
                with turns.of(batch[0].tenant_id):
                    orphans += await self._unknown(batch, self.store.remove)
        turns.end()
        return SweepResult(given_up=given_up, expired=expired, orphans=orphans)

    async def _rows(self, tenant_id: uuid.UUID, older: dt.timedelta) -> tuple[int, int]:
        """Remove a tenant's rows; their objects follow, as orphans or as any deleted file's."""
        async with self.ctx.separate(tenant_id) as inside:
            files = FileRepository(inside.session)
            inside.quiet("uploads that were given up are files that were never there")
            dropped = await files.given_up(older)
            if dropped:
                await release(inside, sum(dropped))
            over = await files.expired()
            for file in over:
                await inside.session.delete(file)
                await inside.session.flush()
                await inside.emit(FileDeleted(object_id=file.id, before={"name": file.name, "size": file.size}))
        return len(dropped), len(over)

    async def _unknown(self, batch: list[FileKey], remove: Callable[[FileKey], Awaitable[None]]) -> int:
        """Remove those keys of a tenant that have no row; return how many."""
        async with self.ctx.separate(batch[0].tenant_id) as inside:
            known = await FileRepository(inside.session).known([key.file_id for key in batch])
        orphans = [key for key in batch if key.file_id not in known]
        for key in orphans:
            await remove(key)
        return len(orphans)


async def batches(keys: AsyncIterator[FileKey], tenants: Collection[uuid.UUID]) -> AsyncIterator[list[FileKey]]:
    """Yield the keys of these tenants, at most `BATCH` of one tenant at a time."""
    known, batch = set(tenants), list[FileKey]()
    async for key in keys:
        if batch and (len(batch) == BATCH or batch[0].tenant_id != key.tenant_id):
            yield batch
            batch = []
        if key.tenant_id in known:
            batch.append(key)
    if batch:
        yield batch


def tenant_of(ctx: Context) -> uuid.UUID:
    """Return the tenant of a context that has one."""
    if ctx.tenant_id is None:
        raise TypeError("files belong to a tenant: enter one first")
    return ctx.tenant_id


def key_of(ctx: Context, file_id: uuid.UUID) -> FileKey:
    """Return what a file of the context's tenant is called in the store."""
    return FileKey(tenant_of(ctx), file_id)


async def release(ctx: Context, size: int) -> None:
    """Give room back."""
    usage = await UsageRepository(ctx.session).locked(tenant_of(ctx))
    usage.size -= size


async def announce(ctx: Context, file: StoredFile) -> None:
    """Write the row and tell that the file is there."""
    await ctx.session.flush()
    shown = {"name": file.name, "content_type": file.content_type, "size": file.size, "sha256": file.sha256}
    await ctx.emit(FileStored(object_id=file.id, after={**shown, "purpose": file.purpose}))


async def blocks_of(ctx: Context, file_id: uuid.UUID, start: int, stop: int) -> AsyncIterator[bytes]:
    """Yield a part of a file's content; raises `FileStoreAwayError`, and, without an object, as for no such file."""
    try:
        with reached():
            async for block in ctx.services.files.read(key_of(ctx, file_id), start, stop):
                yield block
    except StoredFileNotFoundError:
        log.exception("file_without_object", tenant_id=str(ctx.tenant_id), file_id=str(file_id))
        raise


@contextmanager
def reached() -> Iterator[None]:
    """Raise our own errors for those of the store."""
    try:
        yield
    except FileNotFoundError as error:
        raise StoredFileNotFoundError from error
    except OSError as error:
        log.warning("file_store_away", error=str(error))
        raise FileStoreAwayError from error
