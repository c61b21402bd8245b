"""What nobody will end or ask for: removed, rows and objects alike."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Collection

from app.core.context import Context
from app.core.turns import Turns
from app.files.events import FileDeleted
from app.files.repository import FileRepository
from app.files.schemas import SweepResult
from app.files.services.store import reached, release
from app.services.filesystem import Found

BATCH = 100
"""How many of the store's objects a sweep asks the database about at a time, and removes in one transaction."""


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
            async for batch in batches(self.store.older(older), tenants):
                with turns.of(batch[0].key.tenant_id):
                    begun, whole = await self._objects(batch)
                    given_up, orphans = given_up + begun, orphans + whole
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

    async def _objects(self, batch: list[Found]) -> tuple[int, int]:
        """Remove what of a tenant has no row; return how much of it was not whole, and how many files were."""
        async with self.ctx.separate(batch[0].key.tenant_id) as inside:
            orphans = await FileRepository(inside.session).orphans([found.key.file_id for found in batch])
            gone = [found for found in batch if found.key.file_id in orphans]
            for found in gone:
                await self.store.discard(found)
        begun = sum(bool(found.mark) for found in gone)
        return begun, len(gone) - begun


async def batches(every: AsyncIterator[Found], tenants: Collection[uuid.UUID]) -> AsyncIterator[list[Found]]:
    """Yield what is of these tenants, at most `BATCH` of one tenant at a time."""
    known, batch = set(tenants), list[Found]()
    async for found in every:
        tenant_id = found.key.tenant_id
        if batch and (len(batch) == BATCH or batch[0].key.tenant_id != tenant_id):
            yield batch
            batch = []
        if tenant_id in known:
            batch.append(found)
    if batch:
        yield batch
