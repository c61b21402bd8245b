"""Files: what can keep them, and two stores that need no server.

`MemoryFiles` keeps them for tests, `FolderFiles` in a folder that the processes of an installation share, and
`app.services.s3` in a bucket. A file is called by its tenant's id and its own, and by nothing that anybody typed: no
name can lead out of the store.
"""

import asyncio
import datetime as dt
import importlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from io import BufferedWriter
from pathlib import Path
from typing import NamedTuple, Protocol, Self

from app.sections import FileSettings

PARTIAL = ".partial"
BLOCK = 262_144
"""Bytes that are read at a time."""

Write = Callable[[bytes], Awaitable[None]]


class FileKey(NamedTuple):
    """What a file is called in every store: `<tenant>/<file>`."""

    tenant_id: uuid.UUID
    file_id: uuid.UUID

    def __str__(self) -> str:
        return f"{self.tenant_id}/{self.file_id}"

    @classmethod
    def read(cls, name: str) -> "FileKey | None":
        """Return the key that is spelled so; None for what is no file of ours."""
        try:
            found = cls(*map(uuid.UUID, name.split("/")))
        except (TypeError, ValueError):
            return None
        return found if str(found) == name else None


class Found(NamedTuple):
    """What lies in a store: a file, or, with a mark that tells it from others, one that was begun and is not whole."""

    key: FileKey
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Link:
    """How an address that needs no sign-in answers, and for how many seconds it is good."""

    seconds: int
    content_type: str
    disposition: str


class FileStore(Protocol):
    """Keeps files; whatever it cannot do raises OSError, and the reading of a file that is none FileNotFoundError."""

    def create(self, key: FileKey) -> AbstractAsyncContextManager[Write]:
        """Return what a file is written with: there when the block ends well, whole, over an older one; else not."""

    async def size(self, key: FileKey) -> int | None:
        """Return how many bytes a file has; None for none."""

    def read(self, key: FileKey, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield a file block by block, from one byte up to another, which is not included."""

    async def remove(self, key: FileKey) -> None:
        """Remove a file; there may be none."""

    def older(self, than: dt.timedelta) -> AsyncIterator[Found]:
        """Yield what was written longer ago, and what was begun then: that is under way still, or its process died.

        What else lies in the store is nobody's business here. What cannot be read is an error at the end.
        """

    async def discard(self, found: Found) -> None:
        """Remove exactly this; it may be gone already."""

    async def link(self, key: FileKey, link: Link) -> str | None:
        """Return an address that whoever has it can fetch the file from; None where the store serves nobody."""

    async def close(self) -> None:
        """Close what is open; what is asked for later opens it again."""


class MemoryFiles:
    """Keeps files in this process, each with the time at which it was written."""

    def __init__(self) -> None:
        self.kept: dict[FileKey, tuple[bytes, float]] = {}

    @classmethod
    def of(cls, _: FileSettings) -> Self:
        """Return an empty store."""
        return cls()

    @asynccontextmanager
    async def create(self, key: FileKey) -> AsyncIterator[Write]:
        """Collect what is written; keep it at the end."""
        parts: list[bytes] = []

        async def write(data: bytes) -> None:
            parts.append(data)

        yield write
        self.kept[key] = b"".join(parts), time.time()

    async def size(self, key: FileKey) -> int | None:
        """Return how many bytes a file has; None for none."""
        found = self.kept.get(key)
        return None if found is None else len(found[0])

    async def read(self, key: FileKey, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield a file block by block."""
        if key not in self.kept:
            raise FileNotFoundError(str(key))
        data = self.kept[key][0][start:stop]
        for first in range(0, len(data), BLOCK):
            yield data[first : first + BLOCK]

    async def remove(self, key: FileKey) -> None:
        """Forget a file."""
        self.kept.pop(key, None)

    async def older(self, than: dt.timedelta) -> AsyncIterator[Found]:
        """Yield the files that were written longer ago; what a process had begun went with it."""
        before = time.time() - than.total_seconds()
        for key in [key for key, (_, written) in self.kept.items() if written < before]:
            yield Found(key)

    async def discard(self, found: Found) -> None:
        """Forget a file."""
        await self.remove(found.key)

    async def link(self, _: FileKey, __: Link) -> str | None:
        """Return None: nobody else reads this process's memory."""
        return None

    async def close(self) -> None:
        """Do nothing: what is kept stays for the tests that look at it."""


class FolderFiles:
    """Keeps files in a folder, readable by their owner alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, config: FileSettings) -> Self:
        """Return the store in the folder of the settings."""
        return cls(Path(config.folder))

    @asynccontextmanager
    async def create(self, key: FileKey) -> AsyncIterator[Write]:
        """Write beside the final name, then move it there; what a killed process leaves behind is swept later."""
        path = self.folder / str(key)
        partial = path.with_name(f"{path.name}.{os.urandom(8).hex()}{PARTIAL}")
        handle = await asyncio.to_thread(self._open, partial)
        try:
            with os.fdopen(handle, "wb") as file:

                async def write(data: bytes) -> None:
                    await asyncio.to_thread(file.write, data)

                yield write
                await asyncio.to_thread(self._settle, file, partial, path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    async def size(self, key: FileKey) -> int | None:
        """Return how many bytes a file has; None for none."""
        try:
            return (await asyncio.to_thread((self.folder / str(key)).stat)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def read(self, key: FileKey, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Yield a file block by block; it is open for no longer than a block, whoever stops reading."""
        path, place = self.folder / str(key), start
        while block := await asyncio.to_thread(self._block, path, place, stop):
            yield block
            place += len(block)

    async def remove(self, key: FileKey) -> None:
        """Unlink a file."""
        await asyncio.to_thread((self.folder / str(key)).unlink, missing_ok=True)

    async def older(self, than: dt.timedelta) -> AsyncIterator[Found]:
        """Yield the files that were written longer ago, and the half-written ones that nobody wrote to for so long."""
        before, failed = time.time() - than.total_seconds(), None
        for tenant in await asyncio.to_thread(self._tenants):
            try:
                names = await asyncio.to_thread(old, self.folder / tenant, before)
            except FileNotFoundError:
                continue
            except OSError as error:
                failed = error
                continue
            for name in names:
                file, _, mark = name.partition(".")
                key = FileKey.read(f"{tenant}/{file}")
                if key is not None and (not mark or name.endswith(PARTIAL)):
                    yield Found(key, mark)
        if failed:
            raise failed

    async def discard(self, found: Found) -> None:
        """Unlink a file, or a half-written one."""
        name = f"{found.key}.{found.mark}" if found.mark else str(found.key)
        await asyncio.to_thread((self.folder / name).unlink, missing_ok=True)

    async def link(self, _: FileKey, __: Link) -> str | None:
        """Return None: a folder serves nobody."""
        return None

    async def close(self) -> None:
        """Do nothing: no file is open between two calls."""

    def _open(self, path: Path) -> int:
        for folder in (self.folder, path.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)

    def _settle(self, file: BufferedWriter, partial: Path, path: Path) -> None:
        """Have it on the disk before it gets its name, and the name too: after a power cut there is all or nothing."""
        file.flush()
        os.fsync(file.fileno())
        partial.rename(path)
        for folder in (path.parent, self.folder):  # the tenant's own may be new
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)

    @staticmethod
    def _block(path: Path, start: int, stop: int | None) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(BLOCK if stop is None else max(0, min(BLOCK, stop - start)))

    def _tenants(self) -> list[str]:
        """Return the folders that are named as tenants are: at the root of a disk there may be others."""
        if not self.folder.is_dir():
            return []
        with os.scandir(self.folder) as entries:
            return [entry.name for entry in entries if is_id(entry.name) and entry.is_dir(follow_symlinks=False)]


def is_id(name: str) -> bool:
    """Tell whether a name is an id as we spell it."""
    return FileKey.read(f"{name}/{name}") is not None


def old(folder: Path, before: float) -> list[str]:
    """Return the names of the files of a folder that were written earlier."""
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries if written_before(entry, before)]


def written_before(entry: os.DirEntry[str], before: float) -> bool:
    """Tell whether a file is so old; one that somebody removed since it was listed is not there to be old."""
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_mtime < before
    except FileNotFoundError:
        return False


STORES = {
    "memory": ("app.services.filesystem", "MemoryFiles"),
    "folder": ("app.services.filesystem", "FolderFiles"),
    "s3": ("app.services.s3", "S3Files"),
}
"""`files.store` -> the module and its class, loaded when chosen: a client of S3 costs each start half a second."""


def open_store(config: FileSettings) -> FileStore:
    """Return the store that the settings ask for."""
    module, name = STORES[config.store]
    store: FileStore = getattr(importlib.import_module(module), name).of(config)
    return store
