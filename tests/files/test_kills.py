"""Uploads that are killed, and a store that is away: nothing is lost, and a sweep leaves rows and objects alike."""

import asyncio
import datetime as dt
import os
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from app.core.exceptions import TenantsFailedError
from app.core.unit_of_work import UnitOfWork
from app.db.tenancy import SYSTEM_TENANT_ID
from app.files.schemas import SweepResult
from app.files.services import ProductService, SweepService
from app.main import create_app
from app.sections import FileSettings
from app.services import Services
from app.services.filesystem import FileKey, FileStore, MemoryFiles, open_store
from app.services.s3 import PART
from tests.figures import Figure
from tests.files.test_files import pieces, send, upload, used
from tests.services.bucket import KEY, REGION, SECRET, Bucket, serving
from tests.support import Caller, Cluster, free_port, register, serve

KILLS = int(os.environ.get("GROUNDPLAN_UPLOAD_KILLS", "5"))
PENDING = """
    with usage as (insert into file_usage (tenant_id, id, size) values (:tenant, :tenant, 1))
    insert into files (tenant_id, id, name, purpose, status, content_type, size, sha256)
    values (:tenant, gen_random_uuid(), 'x', 'upload', 'pending', '', 1, '') returning 1
"""
HOLD = "create table held (tenant_id uuid, id uuid, foreign key (tenant_id, id) references files)"
"""A table that keeps rows of files from being removed: an error of one tenant."""

AT_ONCE, AN_HOUR = dt.timedelta(seconds=-1), dt.timedelta(hours=1)
PIECE = {"folder": 60_000, "s3": 400_000}
"""Bytes: of what goes to S3 each file has a part more than one."""


@pytest.fixture
def s3() -> Iterator[Bucket]:
    """Yield a bucket on a server of its own."""
    with serving() as address:
        bucket = Bucket(address)
        bucket.make()
        yield bucket


@pytest.fixture(params=["folder", "s3"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    """Return the settings of each store that outlives a process."""
    if request.param == "folder":
        return {"store": "folder", "folder": str(tmp_path / "files")}
    return of_bucket(request.getfixturevalue("s3"))


def of_bucket(bucket: Bucket) -> dict[str, Any]:
    """Return the settings of a bucket."""
    keys = {"s3_access_key": KEY, "s3_secret_key": SECRET}
    return {"store": "s3", "s3_bucket": bucket.name, "s3_endpoint": bucket.address, "s3_region": REGION, **keys}


async def sweep(work: UnitOfWork, store: FileStore, *tenants: uuid.UUID, older: dt.timedelta = AT_ONCE) -> SweepResult:
    """Sweep a store, whatever the age of what is there."""
    own = UnitOfWork(work.sessions, work.hub, work.reserve, Services(files=store), work.limits)
    async with own.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
        return await SweepService(ctx).sweep(tenants, older)


async def objects(store: FileStore) -> dict[uuid.UUID, int | None]:
    """Return what lies in a store, and of which size."""
    return {found.key.file_id: await store.size(found.key) async for found in store.older(AT_ONCE) if not found.mark}


async def rows(cluster: Cluster, database: str, caller: Caller) -> dict[uuid.UUID, int]:
    """Return which files of a tenant there are, and of which size."""
    query = "select id, size from files where tenant_id = :tenant"
    return {row.id: row.size for row in await cluster.rows(database, query, tenant=caller.tenant_id)}


async def test_killed_uploads_leave_no_orphans(
    files: dict[str, Any], owner: Caller, cluster: Cluster, database: str, work: UnitOfWork, figure: Figure
) -> None:
    """Kill -9 at any moment; then every row has its object, every object its row, and the usage is their sum."""
    order = {
        "files": files,
        "kills": KILLS,
        "piece": PIECE[files["store"]],
        "url": cluster.url("app_rw", database),
        "headers": owner.headers,
        "longest": 0.4 if files["store"] == "folder" else 3,
    }
    doomed = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.files.doomed"),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # What was killed holds its room until the sweep: a hundred times that is more than a tenant has.
        env=os.environ | {"APP_FILES__TENANT_QUOTA": f"{2**50}"},
    )
    _, errors = await asyncio.wait_for(doomed.communicate(orjson.dumps(order)), 60 + 20 * KILLS)
    assert doomed.returncode == 0, errors.decode()[-2000:]
    store = open_store(FileSettings(**files))
    found = await rows(cluster, database, owner)
    swept = await sweep(work, store, owner.tenant_id)
    assert swept.given_up > 0
    whole = await rows(cluster, database, owner)
    assert await objects(store) == whole
    taken, size, count = await used(cluster, database, owner)
    assert (taken, count) == (size, len(whole))
    again = await sweep(work, store, owner.tenant_id)
    assert again == SweepResult(given_up=0, expired=0, orphans=0)
    await store.close()
    figure(
        f"uploads to {files['store']}: {KILLS} kills, {len(found)} rows, {len(whole)} of them whole; swept "
        f"{swept.given_up} rows and half-written objects, {swept.orphans} objects without rows; orphans left: 0"
    )


async def test_objects_of_others_are_left_alone(owner: Caller, work: UnitOfWork) -> None:
    """A sweep of this installation's tenants takes no object of a tenant that it does not know."""
    store, other = MemoryFiles(), uuid.uuid4()
    for tenant_id in (owner.tenant_id, other):
        async with store.create(key(tenant_id)) as write:
            await write(b"x")
    assert (await sweep(work, store, owner.tenant_id)).orphans == 1
    assert [one.tenant_id for one in store.kept] == [other]


async def test_an_upload_whose_row_is_there_goes_on(s3: Bucket, cluster: Cluster, own_database: str) -> None:
    """Of what is no whole file yet, a sweep takes what no row knows, of its own tenants, whatever the store says.

    The server of the tests says of each upload in parts that it was begun in 2010.
    """
    store = open_store(FileSettings(**of_bucket(s3)))
    app = create_app(url=cluster.url("app_rw", own_database), services=Services(files=store))
    async with serve(app) as client:
        me, swept = await register(client), list[SweepResult]()
        orphan, other = key(me.tenant_id), key(uuid.uuid4())
        for one in (orphan, other):
            s3.plain().create_multipart_upload(Bucket=s3.name, Key=str(one))

        async def content() -> AsyncIterator[bytes]:
            yield bytes(PART)
            assert len([found async for found in store.older(AN_HOUR)]) == 3
            swept.append(await sweep(app.state.serving.gate.work, store, me.tenant_id, older=AN_HOUR))
            yield b"end"

        made = await upload(me, "large", content())
    assert swept == [SweepResult(given_up=1, expired=0, orphans=0)]
    assert await objects(store) == {uuid.UUID(made["id"]): PART + 3}
    assert [found.key async for found in store.older(AN_HOUR)] == [other]
    await store.close()


async def test_a_second_attempt_keeps_what_the_first_one_left(owner: Caller, work: UnitOfWork) -> None:
    """While one writes anew what a killed one left without a row, no sweep takes it; nor once it is committed."""
    store, entry = MemoryFiles(), key(owner.tenant_id)
    async with store.create(entry) as write:
        await write(b"of the first attempt")
    own = UnitOfWork(work.sessions, work.hub, work.reserve, Services(files=store), work.limits)
    swept = []
    async with own.begin(tenant_id=owner.tenant_id) as ctx:

        async def content() -> AsyncIterator[bytes]:
            swept.append(await sweep(work, store, owner.tenant_id))
            yield b"whole"

        attempt = ProductService(replace(ctx, entry_id=entry.file_id), "test")
        await attempt.write("a name", content(), "text/plain")
        swept.append(await sweep(work, store, owner.tenant_id))
    swept.append(await sweep(work, store, owner.tenant_id))
    assert swept == [SweepResult(given_up=0, expired=0, orphans=0)] * 3
    assert store.kept[entry][0] == b"whole"


async def test_an_error_of_one_tenant_keeps_no_other_from_its_sweep(cluster: Cluster, own_database: str) -> None:
    """Who cannot be swept is named in the log, and counted by the error with which the sweep ends."""
    app = create_app(url=cluster.url("app_rw", own_database))
    async with serve(app) as client:
        stuck, other = [(await register(client)).tenant_id for _ in range(2)]
    for tenant_id in (stuck, other):
        await cluster.rows(own_database, PENDING, tenant=tenant_id)
    await cluster.run(HOLD, own_database)
    await cluster.rows(
        own_database,
        "insert into held select tenant_id, id from files where tenant_id = :tenant returning 1",
        tenant=stuck,
    )
    store = MemoryFiles()
    for tenant_id in (stuck, other):
        async with store.create(key(tenant_id)) as write:
            await write(b"x")
    with pytest.raises(TenantsFailedError, match="failed for 1 tenant"):
        await sweep(app.state.serving.gate.work, store, stuck, other)
    left = await cluster.rows(own_database, "select tenant_id from files")
    assert ([row.tenant_id for row in left], store.kept) == ([stuck], {})


def key(tenant_id: uuid.UUID) -> FileKey:
    """Return the key of a new file."""
    return FileKey(tenant_id, uuid.uuid4())


@pytest.fixture
async def own_database(cluster: Cluster) -> AsyncIterator[str]:
    """Make a database for one test, whose outbox nobody else carries out."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    yield name
    await cluster.drop(name)


async def test_a_store_that_is_away_loses_nothing(cluster: Cluster, own_database: str) -> None:
    """Clear refusals meanwhile; what was there is there again; what was deleted goes as soon as it can."""
    port = free_port()
    bucket = Bucket(f"http://127.0.0.1:{port}")
    store = open_store(FileSettings(**of_bucket(bucket)))
    app = create_app(url=cluster.url("app_rw", own_database), services=Services(files=store))
    async with serve(app, relay=True) as client:
        me = await register(client)
        with serving(port):
            bucket.make()
            kept, deleted = [await upload(me, name, b"content") for name in ("kept", "deleted")]
        for answer in (
            await send(me, "small", b"x"),
            await send(me, "large", pieces(*[bytes(1_000_000)] * 9)),
            await me.call("GET", f"/files/{kept['id']}/content"),
        ):
            assert (answer.status_code, answer.json()["code"]) == (503, "file_store_unavailable")
            assert answer.headers["Retry-After"] == "1"
        assert (await me.call("DELETE", f"/files/{deleted['id']}")).status_code == 200
        assert await used(cluster, own_database, me) == (4096, 4096, 1)
        with serving(port):
            assert (await me.call("GET", f"/files/{kept['id']}/content")).content == b"content"
            again = await upload(me, "again", b"content")
            async with asyncio.timeout(30):
                while len(await objects(store)) > 2:  # noqa: ASYNC110 - the outbox carries it out, and tells nobody
                    await asyncio.sleep(0.05)
            assert await objects(store) == {uuid.UUID(one["id"]): 7 for one in (kept, again)}
            assert (await sweep(app.state.serving.gate.work, store, me.tenant_id)).given_up == 0
            await store.close()
