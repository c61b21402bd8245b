"""Deliveries: one effect for each handler of a committed event, whatever fails, hangs, is killed or comes twice."""

import asyncio
import datetime as dt
import uuid
from collections import Counter
from collections.abc import Sequence

import pytest

from app.core.relay import Ticket, TransportAwayError
from app.core.runner import RunFailedError
from app.db.tenancy import SYSTEM_TENANT_ID
from app.tenants.exceptions import RoleNotFoundError
from tests.core.deliveries import BEGUN, FAULTS, Happened, Long, Post, Renamed, Slow, refused
from tests.figures import Figure

OBJECT = uuid.uuid4()
ONCE = Counter({"at once": 1, "first": 1, "second": 1, "third": 1})
LAPSE = "update outbox_entries set lease_until = now() - interval '1 second' returning 1"


def happened(note: str = "x") -> Happened:
    """Return an event."""
    return Happened(object_id=OBJECT, note=note)


async def tickets(post: Post) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return the keys of every entry."""
    return [(row.tenant_id, row.id) for row in await post.rows("select tenant_id, id from outbox_entries order by id")]


async def test_each_handler_leaves_one_effect(post: Post) -> None:
    """One in the transaction, three after it; every entry has finished in its first attempt."""
    await post.emit(happened())
    assert await post.effects() == Counter({"at once": 1})
    await post.run_all()
    assert await post.effects() == ONCE
    rows = (await post.entries()).values()
    assert {(row.status, row.attempts, row.dispatches, row.error) for row in rows} == {("finished", 1, 1, None)}


async def test_only_what_failed_is_tried_again(post: Post) -> None:
    """The second of three fails twice: it alone is retried, its failed attempts leave nothing, the others run once."""
    FAULTS["x"] = [RuntimeError("the first time"), RoleNotFoundError()]
    await post.emit(happened())
    await post.run_all()
    assert await post.effects() == ONCE
    entries = await post.entries()
    assert {name: row.attempts for name, row in entries.items()} == {"first": 1, "second": 3, "third": 1}
    assert {row.status for row in entries.values()} == {"finished"}


async def test_after_the_last_attempt_it_is_dead_and_says_why(post: Post) -> None:
    """Three failures of three are the end; no secret and no statement is shown."""
    FAULTS["x"] = [RuntimeError(f"attempt {n}: password=hunter2") for n in range(3)]
    await post.emit(happened())
    await post.run_all()
    dead = (await post.entries())["second"]
    assert (dead.status, dead.attempts, dead.finished_at is not None) == ("dead", 3, True)
    assert dead.error.startswith("RuntimeError: attempt 2")
    assert "hunter2" not in dead.error
    assert (await post.effects())["second"] == 0


async def test_two_thousand_rollbacks_leave_nothing(post: Post, figure: Figure) -> None:
    """What was announced and rolled back has no entry and no effect."""

    async def fail() -> None:
        async with post.work.begin(tenant_id=post.tenant_id, actor_id=post.actor_id) as ctx:
            await ctx.emit(happened())
            raise ZeroDivisionError

    for _ in range(200):
        ends = await asyncio.gather(*(fail() for _ in range(10)), return_exceptions=True)
        assert [type(end) for end in ends] == [ZeroDivisionError] * 10
    assert await post.rows("select id from outbox_entries") == []
    assert await post.relay().send_due() == 0
    assert await post.effects() == Counter()
    figure("2000 rollbacks after emit: 0 entries, 0 effects")


async def test_nothing_is_sent_before_the_commit(post: Post) -> None:
    """A relay that looks while the transaction is open finds nothing; afterwards it finds all."""
    relay = post.relay()
    async with post.work.begin(tenant_id=post.tenant_id, actor_id=post.actor_id) as ctx:
        await ctx.emit(happened())
        assert await relay.send_due() == 0
    assert await relay.send_due() == 3


async def test_relays_share_the_work(post: Post) -> None:
    """Five relays at once send each entry once."""
    for n in range(20):
        await post.emit(happened(f"{n}"))
    while sum(await asyncio.gather(*(post.relay().send_due() for _ in range(5)))):
        pass
    assert (len(post.sent), len({ticket.id for ticket in post.sent})) == (60, 60)


async def test_an_entry_that_comes_twice_has_one_effect(post: Post) -> None:
    """Run ten times at once, each entry works once; run again, there is nothing to do."""
    await post.emit(happened())
    runner = post.runner()
    keys = await tickets(post)
    ran = await asyncio.gather(*(runner.run(*key) for key in keys * 10))
    assert sum(ran) == 3
    assert not any([await runner.run(*key) for key in keys])
    assert await post.effects() == ONCE


async def test_who_was_taken_over_cannot_commit(post: Post) -> None:
    """A worker froze, another did the work; when the first goes on, its effect is rolled back."""
    await post.emit(Slow(object_id=OBJECT, note="frozen"))
    (key,) = await tickets(post)
    runner = post.runner()
    entry = await runner.start(*key)
    assert entry is not None
    await post.rows(LAPSE)
    assert await runner.start(*key) is not None
    runnable = runner.runnables[(entry.name, entry.action)]
    with pytest.raises(RuntimeError, match="stubborn"):
        await runner.perform(runnable, entry)
    assert await post.effects() == Counter()


async def test_a_worker_without_a_sign_of_life_is_replaced(post: Post) -> None:
    """What a killed worker had begun is queued again once its lease is over, and runs; the last attempt is dead."""
    await post.emit(happened())
    for key in await tickets(post):
        await post.runner().start(*key)
    relay = post.relay()
    assert await relay.sweep() == 0
    await post.rows(LAPSE)
    assert await relay.sweep() == 3
    await post.run_all()
    assert await post.effects() == ONCE
    await post.clear()
    await post.emit(Slow(object_id=OBJECT, note="once"))
    (key,) = await tickets(post)
    await post.runner().start(*key)
    await post.rows(LAPSE)
    await relay.sweep()
    dead = (await post.entries())["stubborn"]
    assert (dead.status, dead.error) == ("dead", "its worker gave no sign of life in attempt 1")


async def test_a_run_gives_signs_of_life(post: Post) -> None:
    """A lease that is about to end is extended while the run goes on; one that was lost ends the run."""
    await post.emit(Long(object_id=OBJECT))
    (key,) = await tickets(post)
    run = asyncio.create_task(post.runner(beat_seconds=0.02).run(*key))
    await post.until("lease_until > started_at + interval '15.01 seconds'")
    await post.rows("update outbox_entries set attempts = 5 returning 1")
    with pytest.raises(RunFailedError, match="taken over"):
        await run
    assert await post.effects() == Counter()


@pytest.mark.parametrize("note", ["obedient", "stubborn"])
async def test_a_run_that_takes_too_long_is_cut_off(post: Post, note: str) -> None:
    """It has no effect, also when it goes on regardless; the dead letter says why."""
    await post.emit(Slow(object_id=OBJECT, note=note))
    runner = post.runner(grace=0.05)
    await post.run_all(runner)
    dead = (await post.entries())["stubborn"]
    assert (dead.status, "it took longer than 0.2 s" in dead.error) == ("dead", True)
    if runner.abandoned:
        await asyncio.wait(runner.abandoned)
    assert await post.effects() == Counter()


@pytest.mark.parametrize("error", [SystemExit(), KeyboardInterrupt(), asyncio.CancelledError(), MemoryError()])
async def test_a_handler_can_end_nothing_but_its_own_run(post: Post, error: BaseException) -> None:
    """Whatever it raises is a failed attempt, and the next one counts."""
    FAULTS["x"] = [error]
    await post.emit(happened())
    await post.run_all()
    assert await post.effects() == ONCE
    assert (await post.entries())["second"].attempts == 2


async def test_a_worker_that_stops_gives_its_entry_back(post: Post) -> None:
    """A cancelled run does not count as an attempt, and the entry is due at once."""
    await post.emit(Long(object_id=OBJECT))
    (key,) = await tickets(post)
    run = asyncio.create_task(post.runner().run(*key))
    assert await asyncio.to_thread(BEGUN.wait, 30)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    given_back = (await post.entries())["endless"]
    assert (given_back.status, given_back.attempts, given_back.error) == ("queued", 0, None)


async def test_an_older_version_is_read_and_a_newer_one_waits(post: Post) -> None:
    """What version 1 wrote runs under version 2; what version 3 wrote fails until somebody can read it."""
    await post.emit(Renamed(object_id=OBJECT, title="as written"))
    older = "update outbox_entries set version = 1, payload = payload - 'title' || '{\"name\": \"by version 1\"}'"
    await post.rows(f"{older} returning 1")
    await post.run_all()
    assert [row.description for row in await post.rows("select description from roles")] == ["by version 1"]
    await post.clear()
    await post.emit(Renamed(object_id=OBJECT, title="of the future"))
    await post.rows("update outbox_entries set version = 3, max_attempts = 2 returning 1")
    await post.run_all()
    dead = (await post.entries())["renamed"]
    assert (dead.status, dead.attempts) == ("dead", 2)
    assert "was written by version 3, newer than 2 here" in dead.error


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("name = 'gone.handler'", "delivery gone.handler is not in this code"),
        ("action = 'trial.unknown'", "is not in this code"),
        ("payload = '{}'", "trial.happened of version 1 does not fit: object_id, note"),
        ("payload = '[1]'", "does not fit"),
        ('payload = \'{"object_id": 7, "note": {}}\'', "does not fit: object_id, note"),
        ("version = 0", "UnreadableEventError"),
    ],
)
async def test_what_cannot_be_read_is_dead_and_says_why(post: Post, change: str, why: str) -> None:
    """Unknown names, versions and payloads stop after their attempts; the other handlers go on."""
    await post.emit(happened())
    await post.rows(f"update outbox_entries set max_attempts = 2, {change} where name like '%second' returning 1")
    await post.run_all()
    (dead,) = await post.rows("select * from outbox_entries where status = 'dead'")
    assert why in dead.error
    assert dead.attempts == 2
    assert await post.effects() == Counter({"at once": 1, "first": 1, "third": 1})


class Away:
    """A transport that is away so many times, and then takes what it is given."""

    def __init__(self, times: int) -> None:
        self.times, self.taken = times, 0

    def room(self) -> int:
        """Have room."""
        return 100

    async def send(self, tickets: Sequence[Ticket]) -> None:
        """Take tickets, or none."""
        if self.times:
            self.times -= 1
            raise TransportAwayError("away")
        self.taken += len(tickets)

    async def missing(self, _: Sequence[Ticket]) -> Sequence[Ticket]:
        """Be away."""
        raise TransportAwayError("away")


async def test_a_broker_that_is_away_costs_time_only(post: Post) -> None:
    """What could not be sent is queued again and sent later; what was sent stays where it is while nobody can look."""
    await post.emit(happened())
    transport = Away(2)
    relay = post.relay(transport, poll_seconds=0.01)
    for _ in range(2):
        with pytest.raises(TransportAwayError):
            await relay.send_due()
        assert {row.status for row in (await post.entries()).values()} == {"queued"}
        await asyncio.sleep(0.02)
    assert (await relay.send_due(), transport.taken) == (3, 3)
    await post.rows(LAPSE)
    with pytest.raises(TransportAwayError):
        await relay.sweep()
    assert {row.status for row in (await post.entries()).values()} == {"sent"}


async def test_what_the_broker_lost_is_sent_again(post: Post) -> None:
    """Only once its lease is over, and counted as a second dispatch."""
    await post.emit(happened())
    relay = post.relay()
    await relay.send_due()
    assert await relay.sweep() == 0
    await post.rows(LAPSE)
    assert await relay.sweep() == 3
    assert await relay.send_due() == 3
    assert {row.dispatches for row in (await post.entries()).values()} == {2}


async def test_a_busy_tenant_does_not_hold_up_the_others(post: Post) -> None:
    """With two hundred entries of one tenant before it, another's only one is in the first batch."""
    other = SYSTEM_TENANT_ID
    for n in range(70):
        await post.emit(happened(f"{n}"))
    await post.emit(Renamed(object_id=OBJECT, title="alone"), tenant_id=other)
    relay = post.relay(in_flight_tenant=5)
    assert await relay.send_due() == 6
    assert Counter(ticket.tenant_id for ticket in post.sent) == {post.tenant_id: 5, other: 1}
    assert await relay.send_due() == 0


async def test_what_is_over_is_removed_after_its_time(post: Post) -> None:
    """Finished entries go, dead ones stay until somebody decides."""
    FAULTS["x"] = [RuntimeError()] * 3
    await post.emit(happened())
    await post.run_all()
    relay = post.relay(kept_hours=1)
    assert await relay.remove() == 0
    await post.rows("update outbox_entries set finished_at = now() - interval '2 hours' returning 1")
    assert await relay.remove() == 2
    assert (await post.entries()).keys() == {"second"}


async def test_a_ticket_of_another_tenant_finds_nothing(post: Post) -> None:
    """Who names an entry with the wrong tenant works under that tenant's policies, where it is not."""
    await post.emit(happened())
    ((_, entry_id), *_) = await tickets(post)
    assert not await post.runner().run(SYSTEM_TENANT_ID, entry_id)
    assert {row.status for row in (await post.entries()).values()} == {"queued"}


@pytest.mark.parametrize(
    "statement",
    [
        "select payload from outbox_entries",
        "select error from outbox_entries",
        "select * from outbox_entries",
        "update outbox_entries set payload = '{}'",
        "update outbox_entries set tenant_id = gen_random_uuid()",
        "insert into outbox_entries (tenant_id) values (gen_random_uuid())",
        "select * from roles",
    ],
)
async def test_the_relay_sees_no_payload(post: Post, statement: str) -> None:
    """Its role moves entries of all tenants, and can neither read nor write what is in them."""
    assert "permission denied" in await refused(post.relay_engine, statement)


async def test_the_database_keeps_the_time(post: Post) -> None:
    """An entry is due by the database's clock: a moment that a worker's clock calls past or future makes no odds."""
    await post.emit(happened())
    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    await post.rows("update outbox_entries set due_at = :due returning 1", due=tomorrow)
    assert await post.relay().send_due() == 0
