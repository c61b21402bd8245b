"""The queries of files."""

import datetime as dt
import hashlib
import uuid
from collections.abc import Collection, Sequence

from sqlalchemy import BigInteger, Select, delete, func, select
from sqlalchemy.dialects.postgresql import array, insert

from app.db.repository import Repository
from app.files.exceptions import StoredFileNotFoundError
from app.files.models import UPLOAD, FileStatus, FileUsage, StoredFile
from app.files.schemas import FileResponse
from app.utils.schemas import Page, PageQuery


class FileRepository(Repository[StoredFile]):
    """Files that are there, of one purpose."""

    model = StoredFile
    missing = StoredFileNotFoundError
    purpose = UPLOAD

    def select(self) -> Select[StoredFile]:
        """Return the statement that reads them."""
        return select(StoredFile).where(StoredFile.purpose == self.purpose, StoredFile.status == FileStatus.stored)

    async def list(self, query: PageQuery) -> Page[FileResponse]:
        """Return one page, newest first."""
        return await self.page(query, self.select(), "-created_at", FileResponse)

    async def pending(self, file_id: uuid.UUID) -> StoredFile | None:
        """Return an upload that is on its way, locked, or None."""
        on_its_way = StoredFile.id == file_id, StoredFile.status == FileStatus.pending
        found: StoredFile | None = await self.session.scalar(select(StoredFile).where(*on_its_way).with_for_update())
        return found

    async def given_up(self, older: dt.timedelta) -> Sequence[int]:
        """Delete the uploads that began longer ago and did not end; return what each took of the quota."""
        old = StoredFile.status == FileStatus.pending, StoredFile.created_at < func.now() - older
        gone = delete(StoredFile).where(*old).returning(func.coalesce(StoredFile.charged, StoredFile.size))
        return (await self.session.scalars(gone, execution_options={"synchronize_session": False})).all()

    async def expired(self) -> Sequence[StoredFile]:
        """Return the files whose time is over, locked; those that another holds are left to it."""
        over = select(StoredFile).where(StoredFile.expires_at <= func.now()).with_for_update(skip_locked=True)
        return (await self.session.scalars(over)).all()

    async def hold(self, file_id: uuid.UUID) -> None:
        """Let nobody take what is written under an id for an orphan, until the commit that brings its row."""
        lock = select(func.pg_advisory_xact_lock(lock_number(file_id)))
        await self.session.execute(lock.execution_options(unscoped="reads no row"))

    async def orphans(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return which of these have no row, in whatever state, and are held by nobody; until the commit they are ours.

        The rows are looked at after the locks: who held one may have committed between the two.
        """
        asked = {lock_number(file_id): file_id for file_id in ids}
        number = func.unnest(array([*asked], type_=BigInteger)).column_valued("number")
        free = select(number).where(func.pg_try_advisory_xact_lock(number))
        held = await self.session.scalars(free.execution_options(unscoped="reads no row"))
        ours = {asked[one] for one in held}
        return ours.difference(await self.session.scalars(select(StoredFile.id).where(StoredFile.id.in_(ours))))


def lock_number(file_id: uuid.UUID) -> int:
    """Return the number of the lock on what is written under an id."""
    return int.from_bytes(hashlib.sha256(b"file:" + file_id.bytes).digest()[:8], "big", signed=True)


class UsageRepository(Repository[FileUsage]):
    """The one row that counts a tenant's uploads."""

    model = FileUsage

    async def locked(self, tenant_id: uuid.UUID) -> FileUsage:
        """Return it, made if need be, locked until the commit."""
        found = await self.find(tenant_id, locked=True)
        if found is None:
            row = {"tenant_id": tenant_id, "id": tenant_id, "size": 0}
            await self.session.execute(insert(FileUsage).values().on_conflict_do_nothing(), [row])
            found = await self.get(tenant_id, locked=True)
        return found
