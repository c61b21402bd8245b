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

    def older(self, than: dt.timedelta) -> AsyncIterator[FileKey]:
        """Yield every file that was written longer ago; what else lies in the store is nobody's business here."""

    def unfinished(self, than: dt.timedelta) -> AsyncIterator[FileKey]:
        """Yield what was begun longer ago and is not whole: it is under way still, or its process died."""

    async def give_up(self, key: FileKey) -> None:
        """Remove what was begun of a file, if there is anything; a whole one stays."""

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

    async def older(self, than: dt.timedelta) -> AsyncIterator[FileKey]:
        """Yield the files that were written longer ago."""
        before = time.time() - than.total_seconds()
        for key in [key for key, (_, written) in self.kept.items() if written < before]:
            yield key

    async def unfinished(self, _: dt.timedelta) -> AsyncIterator[FileKey]:
        """Yield nothing: what a process had begun went with it."""
        for key in list[FileKey]():
            yield key

    async def give_up(self, _: FileKey) -> None:
        """Do nothing: nothing is kept that is not whole."""

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

    async def older(self, than: dt.timedelta) -> AsyncIterator[FileKey]:
        """Yield the files that were written longer ago, folder by folder."""
        async for name in self._old(than):
            key = FileKey.read(name)
            if key is not None:
                yield key

    async def unfinished(self, than: dt.timedelta) -> AsyncIterator[FileKey]:
        """Yield the half-written files that nobody wrote to for so long."""
        async for name in self._old(than):
            key = FileKey.read(name.partition(".")[0]) if name.endswith(PARTIAL) else None
            if key is not None:
                yield key

    async def give_up(self, key: FileKey) -> None:
        """Unlink what is half-written of a file."""
        path = self.folder / str(key)
        for partial in await asyncio.to_thread(lambda: [*path.parent.glob(f"{path.name}.*{PARTIAL}")]):
            await asyncio.to_thread(partial.unlink, missing_ok=True)

    async def link(self, _: FileKey, __: Link) -> str | None:
        """Return None: a folder serves nobody."""
        return None

    async def close(self) -> None:
        """Do nothing: no file is open between two calls."""

    @staticmethod
    def _open(path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)

    @staticmethod
    def _settle(file: BufferedWriter, partial: Path, path: Path) -> None:
        """Have it on the disk before it gets its name, and the name too: after a power cut there is all or nothing."""
        file.flush()
        os.fsync(file.fileno())
        partial.rename(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @staticmethod
    def _block(path: Path, start: int, stop: int | None) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(BLOCK if stop is None else max(0, min(BLOCK, stop - start)))

    def _tenants(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir()] if self.folder.is_dir() else []

    async def _old(self, than: dt.timedelta) -> AsyncIterator[str]:
        """Yield `<folder>/<file>` of what was written longer ago, folder by folder."""
        before = time.time() - than.total_seconds()
        for folder in await asyncio.to_thread(self._tenants):
            for path in await asyncio.to_thread(old, folder, before):
                yield f"{folder.name}/{path.name}"


def old(folder: Path, before: float) -> list[Path]:
    """Return the files of a folder that were written earlier."""
    with os.scandir(folder) as entries:
        return [Path(entry) for entry in entries if written_before(entry, before)]


def written_before(entry: os.DirEntry[str], before: float) -> bool:
    """Tell whether a file is so old; one that somebody removed since it was listed is not there to be old."""
    try:
        return entry.is_file() and entry.stat().st_mtime < before
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
