"""What the services of files share: what was seen of a content, keys, the store reached, news of a file."""

import hashlib
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

from app.core.context import Context
from app.extensions.logs import get_logger
from app.files.events import FileStored
from app.files.exceptions import FileStoreAwayError, StoredFileNotFoundError
from app.files.models import StoredFile
from app.files.repository import UsageRepository
from app.files.utils import HEAD
from app.services.filesystem import FileKey, Write

log = get_logger(__name__)


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
