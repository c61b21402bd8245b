"""Files: what can keep them, and two stores that need no server.

`MemoryFiles` keeps them for tests; `FolderFiles` keeps them in a folder that the processes of an installation share. A
name is made of plain segments, `<tenant>/<file>`; anything else is refused, so that none leads out of the store.
"""

import asyncio
import datetime as dt
import os
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

NAME = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]{0,99}/){0,3}[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
PARTIAL = ".partial"
BLOCK = 262_144
"""Bytes that are read at a time."""

Write = Callable[[bytes], Awaitable[None]]


class FileStore(Protocol):
    """Keeps files; whatever it cannot do raises OSError, and a name that is none ValueError."""

    def create(self, name: str) -> AbstractAsyncContextManager[Write]:
        """Return what a file is written with: there when the block ends well, whole, over an older one; else not."""

    async def size(self, name: str) -> int | None:
        """Return how many bytes a file has; None for none."""

    def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield a file block by block."""

    async def remove_older(self, than: dt.timedelta) -> int:
        """Remove the files that were written longer ago; return how many."""


def checked(name: str) -> str:
    """Return a name; raise ValueError for one that could lead elsewhere."""
    if not NAME.fullmatch(name) or name.endswith(PARTIAL):
        raise ValueError("a file's name is made of letters, digits, dots and dashes, and slashes between them")
    return name


class MemoryFiles:
    """Keeps files in this process, each with the time at which it was written."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[bytes, float]] = {}

    @asynccontextmanager
    async def create(self, name: str) -> AsyncIterator[Write]:
        """Collect what is written; keep it at the end."""
        checked(name)
        parts: list[bytes] = []

        async def write(data: bytes) -> None:
            parts.append(data)

        yield write
        self.kept[name] = b"".join(parts), time.time()

    async def size(self, name: str) -> int | None:
        """Return how many bytes a file has; None for none."""
        found = self.kept.get(checked(name))
        return None if found is None else len(found[0])

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield a file block by block; raises FileNotFoundError."""
        if checked(name) not in self.kept:
            raise FileNotFoundError(name)
        data, _ = self.kept[name]
        for start in range(0, len(data), BLOCK):
            yield data[start : start + BLOCK]

    async def remove_older(self, than: dt.timedelta) -> int:
        """Remove the files that were written longer ago; return how many."""
        old = [name for name, (_, written) in self.kept.items() if written < time.time() - than.total_seconds()]
        for name in old:
            del self.kept[name]
        return len(old)


class FolderFiles:
    """Keeps files in a folder, readable by their owner alone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @asynccontextmanager
    async def create(self, name: str) -> AsyncIterator[Write]:
        """Write beside the final name, then move it there; what a killed process leaves behind is swept later."""
        path = self.folder / checked(name)
        partial = path.with_name(f"{path.name}.{os.urandom(8).hex()}{PARTIAL}")
        handle = await asyncio.to_thread(self._open, partial)
        try:
            with os.fdopen(handle, "wb") as file:

                async def write(data: bytes) -> None:
                    await asyncio.to_thread(file.write, data)

                yield write
                await asyncio.to_thread(self._settle, file.flush, file.fileno())
            partial.rename(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    async def size(self, name: str) -> int | None:
        """Return how many bytes a file has; None for none."""
        path = self.folder / checked(name)
        try:
            return (await asyncio.to_thread(path.stat)).st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def read(self, name: str) -> AsyncIterator[bytes]:
        """Yield a file block by block; it is open for no longer than a block, whoever stops reading."""
        path, start = self.folder / checked(name), 0
        while block := await asyncio.to_thread(self._block, path, start):
            yield block
            start += len(block)

    async def remove_older(self, than: dt.timedelta) -> int:
        """Remove the files that were written longer ago, half-written ones too; return how many."""
        return await asyncio.to_thread(self._remove, time.time() - than.total_seconds())

    @staticmethod
    def _open(path: Path) -> int:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)

    @staticmethod
    def _settle(flush: Callable[[], None], handle: int) -> None:
        """Have it on the disk before it gets its name: after a power cut there is all of it or none."""
        flush()
        os.fsync(handle)

    @staticmethod
    def _block(path: Path, start: int) -> bytes:
        with path.open("rb") as file:
            file.seek(start)
            return file.read(BLOCK)

    def _remove(self, before: float) -> int:
        old = [path for path in self.folder.rglob("*") if path.is_file() and path.stat().st_mtime < before]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)
