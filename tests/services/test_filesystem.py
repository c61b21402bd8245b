"""Both stores of files keep one contract; the folder's also looks after what is on the disk."""

import datetime as dt
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.services.filesystem import BLOCK, FileStore, FolderFiles, MemoryFiles

NONE = dt.timedelta(0)
DAY = dt.timedelta(days=1)


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    """Return each of the stores."""
    return FolderFiles(tmp_path / "files") if request.param == "folder" else MemoryFiles()


async def put(store: FileStore, name: str, *parts: bytes) -> None:
    """Write a file."""
    async with store.create(name) as write:
        for part in parts:
            await write(part)


async def joined(content: AsyncIterator[bytes]) -> bytes:
    """Return what is read."""
    return b"".join([block async for block in content])


async def test_what_was_written_is_read(store: FileStore) -> None:
    """In blocks; a second file of the name takes the first one's place."""
    content = os.urandom(BLOCK + 7)
    await put(store, "tenant/file.bin", content[:10], content[10:])
    assert await store.size("tenant/file.bin") == len(content)
    blocks = [block async for block in store.read("tenant/file.bin")]
    assert b"".join(blocks) == content
    assert max(map(len, blocks)) == BLOCK
    await put(store, "tenant/file.bin", b"new")
    assert await joined(store.read("tenant/file.bin")) == b"new"
    await put(store, "tenant/empty")
    assert (await store.size("tenant/empty"), await joined(store.read("tenant/empty"))) == (0, b"")


async def test_a_file_is_there_whole_or_not_at_all(store: FileStore) -> None:
    """Nothing shows before the end, nor after a failure; an older file stays as it was."""
    await put(store, "kept", b"old")

    async def fail(name: str) -> None:
        async with store.create(name) as write:
            await write(b"half")
            assert await store.size("new") is None
            raise ZeroDivisionError

    for name in ("new", "kept"):
        with pytest.raises(ZeroDivisionError):
            await fail(name)
    assert await store.size("new") is None
    assert await joined(store.read("kept")) == b"old"
    with pytest.raises(FileNotFoundError):
        await joined(store.read("new"))


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../x", "a/../b", "/etc/passwd", "a//b", "a/", "a\\b", "a\0b", "a\n", "x.partial", ".hidden"],
)
async def test_a_name_leads_nowhere_else(store: FileStore, name: str) -> None:
    """Whatever is no plain name is refused, by every call."""
    with pytest.raises(ValueError, match="a file's name"):
        await put(store, name)
    with pytest.raises(ValueError, match="a file's name"):
        await store.size(name)
    with pytest.raises(ValueError, match="a file's name"):
        await joined(store.read(name))


async def test_old_files_are_removed(store: FileStore) -> None:
    """Those that were written longer ago, and no others."""
    await put(store, "a/old", b"1")
    await put(store, "b/old", b"2")
    assert await store.remove_older(DAY) == 0
    assert await store.remove_older(NONE) == 2
    assert await store.size("a/old") is None
    assert await store.remove_older(NONE) == 0


async def test_a_folder_is_closed_to_others_and_tidy(tmp_path: Path) -> None:
    """Files are their owner's alone; what a killed process left half-written goes with the old."""
    folder = tmp_path / "files"
    await put(FolderFiles(folder), "tenant/file", b"x")
    assert oct((folder / "tenant" / "file").stat().st_mode)[-3:] == "600"
    assert oct((folder / "tenant").stat().st_mode)[-3:] == "700"
    assert [path.name for path in (folder / "tenant").iterdir()] == ["file"]
    (folder / "tenant" / "file.0.partial").write_bytes(b"half")
    assert await FolderFiles(folder).remove_older(NONE) == 2
