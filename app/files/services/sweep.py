"""What nobody will end or ask for: removed, rows and objects alike."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection

from app.core.context import Context
from app.core.turns import Turns
from app.files.events import FileDeleted
from app.files.repository import FileRepository
from app.files.schemas import SweepResult
from app.files.services.store import reached, release
from app.services.filesystem import FileKey

BATCH = 500
"""Keys of the store that a sweep asks the database about at a time."""


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
