"""The sequencer: what it chains, in which order, how fast, and what survives when it is killed."""

import asyncio
import io
import time
import uuid
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.audit.adapters import AnchorFile, BadAnchorError, Head, Heads
from app.audit.chain import SEQUENCER_LOCK, Sequencer, configured_anchor
from app.audit.utils import link_digest
from app.config import settings
from app.extensions import logs
from app.sections import AuditSettings, SettingsError
from tests.audit.house import House
from tests.figures import Figure

BULK = """
    insert into audit_entries (tenant_id, id, action, object_type, outcome, request_id)
    select (cast(:tenants as uuid[]))[1 + n % cardinality(cast(:tenants as uuid[]))], gen_random_uuid(),
        'thing.done', 'thing', 'success', '' from generate_series(1, cast(:count as int)) n returning 1
"""
WAITING = "select count(*) from audit_unchained"


async def eventually(house: House, query: str, wanted: int, seconds: float) -> float:
    """Wait until a count is what is wanted; return after how many seconds it was."""
    begun = time.monotonic()
    while (await house.sql(query))[0][0] != wanted:
        assert time.monotonic() - begun < seconds, f"{query}: not {wanted} within {seconds} s"
        await asyncio.sleep(0.02)
    return time.monotonic() - begun


async def test_each_tenant_has_a_chain_of_its_own(house: House) -> None:
    """Numbered from one without a gap, in the order of the entries' ids, each link bound to the one before."""
    tenants = [await house.tenant() for _ in range(2)]
    for tenant in tenants * 2:
        await house.write(tenant, 2)
    assert await house.sequencer.run_once() == 8
    assert await house.sequencer.run_once() == 0
    for tenant in tenants:
        links = await house.chained(tenant)
        query = "select id, digest from audit_entries where tenant_id = :tenant order by id"
        assert [(link.id, link.entry_digest) for link in links] == list(await house.sql(query, tenant=tenant))
        assert [link.seq for link in links] == [1, 2, 3, 4]
        for before, link in pairwise([None, *links]):
            assert link is not None
            previous = before.digest if before else ""
            assert link.digest == link_digest(previous, link.seq, link.id, link.entry_digest, link.chained_at)
        assert house.anchor.read()[tenant] == Head(4, links[-1].digest)
    assert await house.sql(WAITING) == [(0,)]


async def test_it_goes_on_where_it_ended(house: House) -> None:
    """A later entry is the next link, whichever sequencer takes it."""
    tenant = await house.tenant()
    for _ in range(3):
        await house.write(tenant)
        assert await house.sequencer.run_once() == 1
    assert [link.seq for link in await house.chained(tenant)] == [1, 2, 3]
    assert await house.fault() == ""


async def test_batches_leave_no_seam(house: House) -> None:
    """However many are taken at once, the chain is one."""
    tenants = [await house.tenant() for _ in range(3)]
    await house.sql(BULK, tenants=tenants, count=100)
    assert await Sequencer(house.relay, house.anchor, batch=7).run_once() == 100
    lengths = sorted([len(await house.chained(tenant)) for tenant in tenants])
    assert (lengths, set(house.anchor.read())) == ([33, 33, 34], set(tenants))


async def test_two_at_once_do_not_meet(house: House) -> None:
    """Several sequencers, while entries come in: each entry is chained once, and the chain is whole."""
    tenants = [await house.tenant() for _ in range(3)]
    stop = asyncio.Event()
    runs = [asyncio.create_task(Sequencer(house.relay, house.anchor, pause=0.01, batch=5).run(stop)) for _ in range(3)]
    await asyncio.gather(*(house.write(tenant, 20) for tenant in tenants))
    await eventually(house, WAITING, 0, 60)
    stop.set()
    await asyncio.gather(*runs)
    report = await house.verify()
    assert (report.entries, report.waiting) == (60, 0)


async def test_who_has_not_the_lock_does_nothing(house: House) -> None:
    """As long as another one is at work."""
    await house.write(await house.tenant())
    async with house.relay.begin() as other:
        await other.execute(text("select pg_advisory_xact_lock(:key)"), {"key": SEQUENCER_LOCK})
        assert await house.sequencer.run_once() == 0
    assert await house.sequencer.run_once() == 1


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Write the log to where it can be read; put logging back after the test."""
    found = io.BytesIO()
    logs.configure("ERROR", "json", found)
    yield found
    logs.configure(settings.log.level, settings.log.format)


async def test_it_runs_until_it_is_stopped(house: House, stream: io.BytesIO) -> None:
    """An entry is chained within two seconds, with the pause of the settings; a failure is no end."""
    tenant = await house.tenant()
    stop = asyncio.Event()
    await house.cluster.run("alter table audit_unchained rename to gone", house.database)
    run = asyncio.create_task(house.sequencer.run(stop))
    begun = time.monotonic()
    while b"audit_not_chained" not in stream.getvalue():
        assert time.monotonic() - begun < 20
        await asyncio.sleep(0.01)
    await house.cluster.run("alter table gone rename to audit_unchained", house.database)
    await house.write(tenant)
    assert await eventually(house, "select count(*) from audit_chain", 1, 20) < 2
    stop.set()
    await asyncio.wait_for(run, 20)


async def test_killed_between_commit_and_anchor(house: House) -> None:
    """The anchor lags behind, which is no fault; the next one that starts brings it up, without a new entry."""
    tenant = await house.tenant()
    await house.write(tenant, 2)
    await house.sequencer.run_once()
    await house.write(tenant)
    await Sequencer(house.relay).run_once()
    assert house.anchor.read()[tenant].seq == 2
    assert await house.fault() == ""
    await house.sequencer.catch_up()
    assert house.anchor.read()[tenant] == Head(3, (await house.chained(tenant))[-1].digest)


class Unmoved(AnchorFile):
    """An anchor of a process that ends before it is moved."""

    def advance(self, heads: Heads) -> None:
        """Come too late."""


async def test_killed_between_the_first_commit_and_the_anchor(house: House) -> None:
    """Whoever verifies just then does not take the anchor for lost."""
    await house.write(await house.tenant())
    assert await Sequencer(house.relay, Unmoved(house.anchor.path)).run_once() == 1
    assert house.anchor.read() == {}
    assert await house.fault() == ""


async def test_killed_before_the_commit(house: House) -> None:
    """Nothing of it is there, and everything waits as before."""
    tenant = await house.tenant()
    await house.write(tenant, 3)
    query = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'app_relay' and datname = :name"
    async with house.relay.connect() as connection:
        assert await connection.scalar(text("delete from audit_unchained returning 1")) == 1
        assert await house.sql(query, name=house.database)
        with pytest.raises(DBAPIError):
            await connection.execute(text("select 1"))
    assert await house.sql(WAITING) == [(3,)]
    assert await house.sequencer.run_once() == 3


async def test_the_anchor_follows_no_other_chain(house: House) -> None:
    """Once its head is gone from the chain, the anchor stays, however long the chain has grown meanwhile."""
    tenant = await house.tenant()
    await house.write(tenant, 3)
    await house.sequencer.run_once()
    head = house.anchor.read()[tenant]
    await house.sql("delete from audit_entries where id = :id returning 1", id=(await house.chained(tenant))[-1].id)
    await house.sql("delete from audit_chain where seq = 3 returning 1")
    await house.write(tenant, 5)
    await house.sequencer.run_once()
    await house.sequencer.catch_up()
    assert house.anchor.read()[tenant] == head
    assert "link 3 of the chain is another one than the anchor holds" in await house.fault()


async def test_an_anchor_that_cannot_be_read_stops_no_chain(house: House) -> None:
    """Entries are chained, the file is left as it is, and verifying says so."""
    tenant = await house.tenant()
    house.anchor.path.write_text("no anchor")
    await house.write(tenant)
    assert await house.sequencer.run_once() == 1
    assert house.anchor.path.read_text() == "no anchor"
    assert await house.fault() == f"{house.anchor.path} is no anchor of the audit"


async def test_an_entry_that_was_put_in_again_blocks_nobody(house: House) -> None:
    """Its id is in the chain already: it is dropped from the queue, and others go on."""
    tenant = await house.tenant()
    await house.write(tenant)
    await house.sequencer.run_once()
    again = "insert into audit_unchained select tenant_id, id, 'x' from audit_entries returning 1"
    await house.sql(again)
    await house.write(tenant)
    await house.sequencer.run_once()
    assert [link.seq for link in await house.chained(tenant)] == [1, 2]
    assert await house.sql(WAITING) == [(0,)]


@pytest.mark.parametrize("content", ["", "[]", '{"heads": 1}', '{"heads": {"x": [1, "a"]}}', '{"heads": {}'])
def test_what_is_no_anchor_is_told(tmp_path: Path, content: str) -> None:
    """It is not taken for an empty one."""
    path = tmp_path / "anchor.json"
    path.write_text(content)
    with pytest.raises(BadAnchorError):
        AnchorFile(path).read()


def test_an_anchor_without_its_folder_stops_the_start(tmp_path: Path) -> None:
    """It would fail each second, in the log alone."""
    assert configured_anchor(AuditSettings()) is None
    assert configured_anchor(AuditSettings(anchor=str(tmp_path / "x"))) is not None
    with pytest.raises(SettingsError, match="there is no folder"):
        configured_anchor(AuditSettings(anchor=str(tmp_path / "not there" / "x")))


def test_the_anchor_moves_forward_alone(tmp_path: Path) -> None:
    """A head gives way to a later one; others stay; no other file is left behind but the lock."""
    anchor, one, other = AnchorFile(tmp_path / "anchor.json"), uuid.uuid4(), uuid.uuid4()
    assert anchor.read() == {}
    anchor.advance({one: Head(2, "b"), other: Head(1, "x")})
    anchor.advance({one: Head(1, "a")})
    assert anchor.read() == {one: Head(2, "b"), other: Head(1, "x")}
    AnchorFile(anchor.path).advance({one: Head(3, "c")})
    assert anchor.read() == {one: Head(3, "c"), other: Head(1, "x")}
    assert {path.name for path in tmp_path.iterdir()} == {"anchor.json", "anchor.json.lock"}


async def test_how_many_it_chains_in_a_second(house: House, figure: Figure) -> None:
    """Far more than one process of the API writes: twenty thousand of a hundred tenants wait, and are chained."""
    tenants = [await house.tenant() for _ in range(100)]
    await house.sql(BULK, tenants=tenants, count=20_000)
    begun = time.monotonic()
    assert await house.sequencer.run_once() == 20_000
    rate = 20_000 / (time.monotonic() - begun)
    figure(f"{rate:.0f} entries a second chained, of 100 tenants, with the anchor")
    assert rate > 1000
