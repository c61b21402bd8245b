"""One contract for every store of files: the bucket on a server of S3's protocol, the folder, and the memory."""

import datetime as dt
import os
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.services.filesystem import BLOCK, FileKey, FileStore, FolderFiles, Found, Link, MemoryFiles, written_before
from tests.services.bucket import Bucket

NONE = dt.timedelta(seconds=-1)
DAY = dt.timedelta(days=1)
TENANT = uuid.UUID("0198c0de-0000-7000-8000-00000000cafe")


@pytest.fixture(params=["s3", "folder", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FileStore]:
    """Yield each of the stores, empty."""
    if request.param == "s3":
        bucket: Bucket = request.getfixturevalue("bucket")
        found: FileStore = bucket.store()
    else:
        found = FolderFiles(tmp_path / "files") if request.param == "folder" else MemoryFiles()
    yield found
    await found.close()


def a_key(tenant_id: uuid.UUID = TENANT) -> FileKey:
    """Return the key of a new file."""
    return FileKey(tenant_id, uuid.uuid4())


async def put(store: FileStore, key: FileKey, *parts: bytes) -> None:
    """Write a file."""
    async with store.create(key) as write:
        for part in parts:
            await write(part)


async def joined(content: AsyncIterator[bytes]) -> bytes:
    """Return what is read."""
    return b"".join([block async for block in content])


async def listed(store: FileStore, than: dt.timedelta) -> set[FileKey]:
    """Return the keys of what is older."""
    return {found.key async for found in store.older(than) if not found.mark}


async def begun(store: FileStore, than: dt.timedelta) -> list[Found]:
    """Return what was begun longer ago and is not whole."""
    return [found async for found in store.older(than) if found.mark]


async def test_what_was_written_is_read(store: FileStore) -> None:
    """In blocks, whole or a part; a second file of the key takes the first one's place."""
    key, content = a_key(), os.urandom(BLOCK + 7)
    await put(store, key, content[:10], content[10:])
    assert await store.size(key) == len(content)
    blocks = [block async for block in store.read(key)]
    assert b"".join(blocks) == content
    assert max(map(len, blocks)) <= BLOCK
    for start, stop in ((0, 1), (5, 9), (BLOCK - 1, BLOCK + 3), (BLOCK, None), (3, 3)):
        assert await joined(store.read(key, start, stop)) == content[start:stop]
    await put(store, key, b"new")
    assert await joined(store.read(key)) == b"new"
    await put(store, key)
    assert (await store.size(key), await joined(store.read(key))) == (0, b"")


async def test_a_file_is_there_whole_or_not_at_all(store: FileStore) -> None:
    """Nothing shows before the end, nor after a failure; an older file stays as it was."""
    new, kept = a_key(), a_key()
    await put(store, kept, b"old")

    async def fail(key: FileKey) -> None:
        async with store.create(key) as write:
            await write(b"half")
            assert await store.size(new) is None
            raise ZeroDivisionError

    for key in (new, kept):
        with pytest.raises(ZeroDivisionError):
            await fail(key)
    assert await store.size(new) is None
    assert await joined(store.read(kept)) == b"old"
    with pytest.raises(FileNotFoundError):
        await joined(store.read(new))


async def test_a_file_is_removed_once_and_again(store: FileStore) -> None:
    """It is gone, and nobody minds that it is."""
    key, other = a_key(), a_key()
    await put(store, key, b"1")
    await put(store, other, b"2")
    for _ in range(2):
        await store.remove(key)
        assert await store.size(key) is None
    assert await joined(store.read(other)) == b"2"


async def test_what_is_older_is_listed(store: FileStore) -> None:
    """By the time at which it was written, of all tenants."""
    keys = {a_key(), a_key(), a_key(uuid.uuid4())}
    for key in keys:
        await put(store, key, b"x")
    assert await listed(store, DAY) == set()
    assert await listed(store, NONE) == keys
    assert await begun(store, NONE) == []
    first = min(keys)
    for _ in range(2):
        await store.discard(Found(first))
        assert await listed(store, NONE) == keys - {first}


async def test_an_address_is_given_or_not(store: FileStore) -> None:
    """A store that serves nobody says so; that of S3 is held against its own rules in `test_s3.py`."""
    url = await store.link(a_key(), Link(60, "text/plain", "inline"))
    assert url is None or url.startswith("http")


async def test_a_store_that_was_closed_opens_again(store: FileStore) -> None:
    """What a process closes at its end another part of it may still ask."""
    key = a_key()
    await put(store, key, b"x")
    await store.close()
    assert await store.size(key) == 1


@pytest.mark.parametrize("name", ["", ".", "../x", "a/b", "etc/passwd", f"{TENANT}/..", f"{TENANT}//{TENANT}", "a\0b"])
def test_no_other_name_is_a_key(name: str) -> None:
    """What somebody else put there is none of ours; no name that was typed leads anywhere."""
    assert FileKey.read(name) is None
    assert FileKey.read(f"{TENANT}/{{{TENANT}}}") is None
    key = a_key()
    assert FileKey.read(str(key)) == key


async def test_a_folder_is_closed_to_others_and_tidy(tmp_path: Path) -> None:
    """Files are their owner's alone; what a killed process left half-written is removed, what is not ours stays."""
    store, key = FolderFiles(tmp_path / "files"), a_key()
    await put(store, key, b"x")
    path = tmp_path / "files" / str(key)
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert oct(path.parent.stat().st_mode)[-3:] == "700"
    assert list(path.parent.iterdir()) == [path]
    assert oct((tmp_path / "files").stat().st_mode)[-3:] == "700"
    half = [path.parent / f"{path.name}.{number}.partial" for number in range(2)]
    others = [path.parent / name for name in ("README", "a.partial", f"{path.name}.bak")]
    for one in (*half, *others):
        one.write_bytes(b"half, or not ours")
    assert await listed(store, NONE) == {key}
    assert await begun(store, DAY) == []
    left = sorted(await begun(store, NONE))
    assert left == [Found(key, f"{number}.partial") for number in range(2)]
    for _ in range(2):
        await store.discard(left[0])
        assert {*path.parent.iterdir()} == {path, half[1], *others}


async def test_what_cannot_be_read_is_an_error_at_the_end(tmp_path: Path) -> None:
    """A tenant's folder that loops does not hide those of others; a folder that is no tenant's is not looked into."""
    store, keys = FolderFiles(tmp_path), [a_key(uuid.uuid4()) for _ in range(3)]
    for key in keys:
        await put(store, key, b"x")
    (tmp_path / "lost+found").mkdir(mode=0)
    (tmp_path / str(uuid.uuid4())).symlink_to(tmp_path)
    assert await listed(store, NONE) == {*keys}
    found = list[FileKey]()

    async def look() -> None:
        async for one in store.older(NONE):
            if not found:
                closed = next(key for key in keys if key != one.key)
                (tmp_path / str(closed)).unlink()
                (tmp_path / str(closed.tenant_id)).rmdir()
                (tmp_path / str(closed.tenant_id)).touch()
            found.append(one.key)

    with pytest.raises(OSError, match="Not a directory"):
        await look()
    assert len({*found}) == 2


def test_what_vanishes_while_it_is_listed_is_left_out(tmp_path: Path) -> None:
    """An upload that ends, or a file that is deleted, meanwhile must not end the sweep of all others."""
    for name in ("kept", "gone"):
        (tmp_path / name).touch()
    with os.scandir(tmp_path) as found:
        entries = list(found)
    (tmp_path / "gone").unlink()
    assert [entry.name for entry in entries if written_before(entry, time.time() + 1)] == ["kept"]
