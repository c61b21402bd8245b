"""Verifying: everything that somebody with all rights could do to the audit is named, the first bad row last."""

import asyncio
import os
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.audit.chain import Sequencer
from app.audit.utils import link_digest
from app.audit.verify import BATCH
from tests.audit.house import House
from tests.commands.support import Outcome, run
from tests.figures import Figure

MANY = int(os.environ.get("GROUNDPLAN_AUDIT_ENTRIES", "5000"))
"""Entries that are verified for the figure; they cost most of the time of these tests."""
TABLES = ("audit_entries", "audit_chain", "audit_unchained")
GROW = """
    insert into audit_entries (tenant_id, id, action, object_type, outcome, request_id)
    select :tenant, gen_random_uuid(), 'thing.done', 'thing', 'success', ''
    from generate_series(1, cast(:count as int)) returning 1
"""


async def settled(house: House, count: int = 5) -> tuple[uuid.UUID, list[Any]]:
    """Return a tenant with chained entries, and its links; another tenant has some as well."""
    other, tenant = await house.tenant(), await house.tenant()
    await house.write(other, 2)
    await house.write(tenant, count)
    await house.sequencer.run_once()
    return tenant, await house.chained(tenant)


async def test_a_whole_audit(house: House) -> None:
    """Chained and not yet chained entries are counted; both of the tenants, and the system's, are looked at."""
    tenant, _ = await settled(house)
    await house.write(tenant, 3)
    report = await house.verify()
    assert (report.tenants, report.entries, report.waiting) == (3, 7, 3)
    assert (await house.verify(tenant)).entries == 5
    assert await house.fault(anchor=False) == ""


@pytest.mark.parametrize(
    "change",
    [
        "action = 'thing.undone'",
        "object_type = 'other'",
        "object_id = gen_random_uuid()",
        "actor_id = gen_random_uuid()",
        "actor_id = null",
        "on_behalf_of = gen_random_uuid()",
        "before = '{}'",
        "after = jsonb_set(after, '{n}', '7')",
        "after = jsonb_set(after, '{n}', '2.0')",
        "after = null",
        "after = '[]'",
        "after = '1e400'",
        "after = (repeat('[', 5000) || repeat(']', 5000))::jsonb",
        "outcome = 'failure'",
        "request_id = ''",
        "address = '::2'",
        "created_at = created_at + interval '1 microsecond'",
        "created_at = 'infinity'",
        "digest = ''",
        "digest = repeat('0', 64)",
    ],
)
async def test_an_edited_entry(house: House, change: str) -> None:
    """Whatever column, by whatever amount: the entry is named, with its tenant."""
    tenant, links = await settled(house)
    await house.sql(f"update audit_entries set {change} where id = :id returning 1", id=links[2].id)
    expected = f"tenant {tenant}: entry {links[2].id} was changed after it was written"
    assert await house.fault() == await house.fault(anchor=False) == expected


async def test_an_edited_entry_with_a_digest_that_fits(house: House) -> None:
    """Who computes the digest anew does not change what was chained."""
    tenant, links = await settled(house)
    copy = "update audit_entries set {} where id = :id returning digest"
    await house.sql(copy.format("after = '{}', digest = repeat('a', 64)"), id=links[0].id)
    assert f"entry {links[0].id} was changed" in await house.fault()
    await house.sql("update audit_chain set entry_digest = repeat('a', 64) where id = :id returning 1", id=links[0].id)
    fault = f"tenant {tenant}: link 1 of the chain of entry {links[0].id} was changed, or stands in another's place"
    assert await house.fault() == fault


@pytest.mark.parametrize("place", [0, 2, 4])
async def test_a_deleted_entry(house: House, place: int) -> None:
    """The first, one between, the last: the chain remembers it."""
    tenant, links = await settled(house)
    await house.sql("delete from audit_entries where id = :id returning 1", id=links[place].id)
    expected = f"tenant {tenant}: entry {links[place].id} was deleted"
    assert await house.fault() == await house.fault(anchor=False) == expected


async def test_the_first_of_several_is_named(house: House) -> None:
    """By the order of the chain."""
    _, links = await settled(house)
    for place in (3, 1):
        await house.sql("delete from audit_entries where id = :id returning 1", id=links[place].id)
    assert f"entry {links[1].id} was deleted" in await house.fault()


async def test_an_entry_deleted_before_it_was_chained(house: House) -> None:
    """It is in the queue, and soon in the chain."""
    tenant, _ = await settled(house)
    await house.write(tenant)
    newest = "select id from audit_entries where tenant_id = :tenant order by id desc limit 1"
    [[entry]] = await house.sql(newest, tenant=tenant)
    await house.sql("delete from audit_entries where id = :id returning 1", id=entry)
    assert await house.fault() == f"tenant {tenant}: entry {entry} was deleted before it was chained"
    await house.sequencer.run_once()
    assert await house.fault() == f"tenant {tenant}: entry {entry} was deleted"


async def test_a_cut_tail(house: House) -> None:
    """Entries and links at the end are gone: the anchor knows of them. Without it the rest would look whole."""
    tenant, links = await settled(house)
    for link in links[3:]:
        await house.sql("delete from audit_entries where id = :id returning 1", id=link.id)
        await house.sql("delete from audit_chain where id = :id returning 1", id=link.id)
    expected = f"tenant {tenant}: link 4 of the chain is missing: the anchor knows 5 links, the end was cut off"
    assert await house.fault() == expected
    assert await house.fault(anchor=False) == ""


async def test_a_tenant_that_is_gone_altogether(house: House) -> None:
    """Its entries, its chain and itself: the anchor names it."""
    tenant, _ = await settled(house)
    for table, key in (("audit_entries", "tenant_id"), ("audit_chain", "tenant_id"), ("tenants", "id")):
        await house.sql(f"delete from {table} where {key} = :tenant returning 1", tenant=tenant)
    assert (await house.fault()).startswith(f"tenant {tenant}: link 1 of the chain is missing: the anchor knows 5")


@pytest.mark.parametrize("bare", [True, False], ids=["past the trigger", "taken from the queue"])
async def test_an_entry_past_the_queue(house: House, *, bare: bool) -> None:
    """One that was put in without being queued is in no chain, and waits for none."""
    tenant, _ = await settled(house)
    if bare:
        await house.cluster.run("alter table audit_entries disable trigger queue_audit_entry", house.database)
    await house.sql(GROW, tenant=tenant, count=1)
    await house.sql("with gone as (delete from audit_unchained returning 1) select count(*) from gone")
    assert (await house.fault()).endswith(
        "is in no chain and waits for none: it was put in past the queue, or its link was removed"
    )


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        ("delete from audit_chain where seq = 2 and tenant_id = :t", "link 2 of the chain is missing"),
        ("update audit_chain set seq = seq + 10 where seq = 5 and tenant_id = :t", "link 5 of the chain is missing"),
        ("update audit_chain set digest = repeat('0', 64) where seq = 3 and tenant_id = :t", "link 3 of the chain of"),
        ("update audit_chain set entry_digest = '' where seq = 3 and tenant_id = :t", "link 3 of the chain of entry"),
        ("update audit_chain set chained_at = now() where seq = 1 and tenant_id = :t", "link 1 of the chain of entry"),
        ("update audit_chain set id = gen_random_uuid() where seq = 4 and tenant_id = :t", "link 4 of the chain of"),
    ],
)
async def test_a_chain_that_was_tampered_with(house: House, tamper: str, said: str) -> None:
    """A link that was removed, renumbered or changed."""
    tenant, _ = await settled(house)
    await house.sql(f"{tamper} returning 1", t=tenant)
    assert f"tenant {tenant}: {said}" in await house.fault()


async def test_links_in_another_order(house: House) -> None:
    """Two that changed places fit nowhere."""
    tenant, _ = await settled(house)
    swap = "update audit_chain set seq = {} where seq = {} and tenant_id = :tenant returning 1"
    for new, old in ((99, 2), (2, 3), (3, 99)):
        await house.sql(swap.format(new, old), tenant=tenant)
    assert f"tenant {tenant}: link 2 of the chain of entry" in await house.fault()


async def test_a_chain_that_was_made_anew(house: House) -> None:
    """Every digest fits, over one entry less: the anchor holds another end."""
    tenant, links = await settled(house)
    await house.sql("delete from audit_entries where id = :id returning 1", id=links[0].id)
    await house.sql("delete from audit_chain where id = :id returning 1", id=links[0].id)
    previous = ""
    for seq, link in enumerate(links[1:], 1):
        previous = link_digest(previous, seq, link.id, link.entry_digest, link.chained_at)
        anew = "update audit_chain set seq = :seq, digest = :digest where id = :id returning 1"
        await house.sql(anew, seq=seq, digest=previous, id=link.id)
    assert await house.fault(anchor=False) == ""
    assert (await house.fault()).startswith(f"tenant {tenant}: link 5 of the chain is missing")
    await house.write(tenant)
    await Sequencer(house.relay).run_once()
    assert "link 5 of the chain is another one than the anchor holds" in await house.fault()


async def test_an_anchor_that_is_gone(house: House) -> None:
    """It is a fault once anything was chained: without it a cut end does not show."""
    assert await house.fault() == ""
    await settled(house)
    house.anchor.path.unlink()
    assert str(house.anchor.path) in await house.fault()


async def test_entries_from_before_the_chain(house: House) -> None:
    """They have no digest: that one is deleted shows, and so does a digest that is given to one."""
    tenant = await house.tenant()
    await house.sql(GROW, tenant=tenant, count=3)
    await house.sequencer.run_once()
    assert (await house.verify()).entries == 3
    links = await house.chained(tenant)
    await house.sql("update audit_entries set digest = repeat('0', 64) where id = :id returning 1", id=links[2].id)
    assert f"entry {links[2].id} was changed" in await house.fault()
    await house.sql("delete from audit_entries where id = :id returning 1", id=links[1].id)
    assert f"entry {links[1].id} was deleted" in await house.fault()


async def test_nothing_is_a_fault_while_all_goes_on(house: House) -> None:
    """Entries come in and are chained while it is verified, many times over: it is whole each time."""
    tenants = [await house.tenant() for _ in range(2)]
    stop = asyncio.Event()
    chaining = asyncio.create_task(Sequencer(house.relay, house.anchor, pause=0.001, batch=3).run(stop))
    writing = [asyncio.create_task(house.write(tenant, 60)) for tenant in tenants]
    looks = 0
    while looks < 20 or not all(task.done() for task in writing):
        assert await house.fault() == ""
        looks += 1
    stop.set()
    await asyncio.gather(chaining, *writing)
    assert (await house.verify()).entries == 120


@pytest.mark.parametrize("count", [BATCH - 1, BATCH, BATCH + 1])
async def test_the_seams_of_what_is_read_at_once(house: House, count: int) -> None:
    """As many links, and as many waiting entries, as are read at once, one more and one less."""
    tenant = await house.tenant()
    await house.sql(GROW, tenant=tenant, count=count)
    assert (await house.verify()).waiting == count
    await house.sequencer.run_once()
    await house.sql(GROW, tenant=tenant, count=1)
    report = await house.verify()
    assert (report.entries, report.waiting) == (count, 1)


@pytest.mark.parametrize("role", ["app_rw", "app_worker", "app_relay"])
async def test_no_role_of_ours_rewrites_it(house: House, role: str) -> None:
    """Neither an update, nor a delete (but of the queue, by the relay), nor a truncate, tried inside the tenant."""
    tenant, _ = await settled(house)
    await house.write(tenant)
    forms = ("update {} set tenant_id = tenant_id", "truncate {}", "delete from {}")
    statements = {form.format(table) for form in forms for table in TABLES}
    if role == "app_relay":
        statements.remove("delete from audit_unchained")
    async with house.as_role(role) as connection:
        for statement in statements:
            await connection.execute(text("select set_config('app.tenant_id', :id, true)"), {"id": str(tenant)})
            with pytest.raises(DBAPIError, match="permission denied"):
                await connection.execute(text(statement))
            await connection.rollback()
    assert await house.fault() == ""


def verify(house: House, *arguments: str, anchor: Path | None = None) -> Outcome:
    """Run the command with the addresses of a house."""
    return run(
        "audit",
        "verify",
        *arguments,
        APP_DATABASE__URL=house.cluster.url("app_rw", house.database),
        APP_AUDIT__ANCHOR=str(anchor or ""),
    )


async def test_the_command(house: House) -> None:
    """0 and a count when all is whole; 1 otherwise, with the bad row on its last line, as the anchor or not tells."""
    tenant, links = await settled(house)
    whole = await asyncio.to_thread(verify, house, anchor=house.anchor.path)
    assert (whole.code, whole.err) == (0, "")
    assert whole.out == "Whole: 7 entries chained in 3 tenants, 0 not chained yet.\n"
    for table in ("audit_entries", "audit_chain"):
        await house.sql(f"delete from {table} where id = :id returning 1", id=links[-1].id)
    cut = await asyncio.to_thread(verify, house, "--anchor", str(house.anchor.path))
    assert (cut.code, cut.err) == (1, "")
    assert cut.out.splitlines()[-1].startswith(f"tenant {tenant}: link 5 of the chain is missing")
    unanchored = await asyncio.to_thread(verify, house)
    assert unanchored.code == 0
    assert "There is no anchor" in unanchored.out
    await house.sql("update audit_entries set outcome = 'x' where id = :id returning 1", id=links[1].id)
    edited = await asyncio.to_thread(verify, house, "--tenant", str(tenant))
    expected = f"tenant {tenant}: entry {links[1].id} was changed after it was written"
    assert (edited.code, edited.out.splitlines()[-1]) == (1, expected)


async def test_the_command_without_a_database() -> None:
    """One line on standard error, and 1."""
    away = await asyncio.to_thread(
        run, "audit", "verify", APP_DATABASE__URL="postgresql+asyncpg://app_rw@/app?host=/nowhere"
    )
    assert away.code == 1
    assert "does not answer" in away.complaint


async def test_how_many_it_verifies_in_a_second(house: House, figure: Figure) -> None:
    """Thousands of entries, in several parts."""
    assert MANY > 2 * BATCH
    tenant = await house.tenant()
    await house.sql(GROW, tenant=tenant, count=MANY)
    await house.sequencer.run_once()
    begun = asyncio.get_running_loop().time()
    assert (await house.verify()).entries == MANY
    figure(f"{MANY / (asyncio.get_running_loop().time() - begun):.0f} entries a second verified, of one tenant")
