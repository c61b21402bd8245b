"""The broker: sealed tickets on real queues, workers that run nothing else, and a Valkey that forgets."""

import asyncio
import json
import os
import pickle
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from app.config import settings
from app.core.broker import REFUSED_AN_HOUR, Announcer, BrokerTransport, SealedWorker, listen, queue
from app.core.relay import Ticket, TransportAwayError
from app.core.seals import LARGEST, SealBrokenError, Seals
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.core.deliveries import FAULTS, Happened, Post

KEY = "a signing key of the broker's tests, long enough"
ONCE = Counter({"at once": 1, "first": 1, "second": 1, "third": 1})
Work = Callable[[], Awaitable[None]]


@pytest.fixture
def redis(broker: str) -> Redis:
    """Return a connection to an empty Valkey."""
    connection: Redis = Redis.from_url(broker)
    connection.flushall()
    return connection


@pytest.fixture
def transport(broker: str, redis: Redis) -> BrokerTransport:
    """Return the transport of a relay."""
    return BrokerTransport(broker, Seals([KEY]), settings.tasks)


@pytest.fixture
def work(post: Post, redis: Redis) -> Work:
    """Return what lets a worker run all that is queued."""

    async def burst() -> None:
        queues = [queue(name, redis) for name in settings.tasks.queues]
        worker = SealedWorker(queues, connection=redis, runner=post.runner(), seals=Seals([KEY]))
        await worker.work_async(burst=True, logging_level="CRITICAL")

    return burst


def happened() -> Happened:
    """Return an event."""
    return Happened(object_id=uuid.uuid4(), note="x")


async def test_what_is_sent_is_carried_out_once(post: Post, transport: BrokerTransport, work: Work) -> None:
    """Three tickets, three runs, three effects; RQ's own record says that they went well."""
    await post.emit(happened())
    assert await post.relay(transport).send_due() == 3
    await work()
    assert await post.effects() == ONCE
    rows = (await post.entries()).values()
    assert {row.status for row in rows} == {"finished"}
    jobs = Job.fetch_many([str(row.id) for row in rows], transport.connection, serializer=JSONSerializer)
    assert [job.return_value() for job in jobs if job] == [True, True, True]


async def test_a_failure_is_shown_and_goes_when_it_is_tried_again(
    post: Post, transport: BrokerTransport, work: Work
) -> None:
    """RQ's list of failures has it until the next attempt; the reason is ours, without a traceback."""
    FAULTS["x"] = [RuntimeError("secret=hunter2")]
    await post.emit(happened())
    relay, failed = post.relay(transport), FailedJobRegistry(queue=transport.queues["default"])
    await relay.send_due()
    await work()
    (job_id,) = failed.get_job_ids()
    shown = Job.fetch(job_id, transport.connection, serializer=JSONSerializer).latest_result()
    assert shown is not None
    assert "RunFailedError" in str(shown.exc_string)
    assert "hunter2" not in str(shown.exc_string)
    await post.until("status = 'queued' and due_at < now()")
    await relay.send_due()
    assert failed.get_job_ids() == []
    await work()
    assert await post.effects() == ONCE


async def test_a_valkey_that_forgot_loses_nothing(
    post: Post, transport: BrokerTransport, redis: Redis, work: Work
) -> None:
    """Flushed after the tickets were sent, they are missed and sent again; what still queues is left alone."""
    await post.emit(happened())
    relay = post.relay(transport)
    await relay.send_due()
    lapse = "update outbox_entries set lease_until = now() - interval '1 second' returning 1"
    await post.rows(lapse)
    assert await relay.sweep() == 0
    redis.flushall()
    await post.rows(lapse)
    assert await relay.sweep() == 3
    await relay.send_due()
    await work()
    assert await post.effects() == ONCE


async def test_a_job_that_comes_again_changes_nothing(
    post: Post, transport: BrokerTransport, redis: Redis, work: Work
) -> None:
    """A stranger replays what he read in Redis, ten times: the entry has finished, and stays so."""
    await post.emit(happened())
    await post.relay(transport).send_due()
    ids = redis.lrange("rq:queue:default", 0, -1)
    await work()
    for job_id in ids * 10:
        redis.rpush("rq:queue:default", job_id)
    await work()
    assert await post.effects() == ONCE


async def test_a_dead_entry_runs_when_its_job_is_requeued(
    post: Post, transport: BrokerTransport, redis: Redis, work: Work
) -> None:
    """As RQ's tools do it: from the list of failures into the queue."""
    FAULTS["x"] = [RuntimeError()] * 3
    await post.emit(happened())
    await post.rows("update outbox_entries set max_attempts = 1 returning 1")
    await post.relay(transport).send_due()
    await work()
    FAULTS.clear()
    failed = FailedJobRegistry(queue=transport.queues["default"])
    (job_id,) = failed.get_job_ids()
    assert (await post.entries())["second"].status == "dead"
    failed.requeue(job_id)
    await work()
    assert (await post.entries())["second"].status == "finished"
    assert await post.effects() == ONCE


class Marker:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        """Return a call that unpickling makes."""
        return os.mkdir, (str(self.path),)


def forgeries(folder: Path) -> dict[str, dict[Any, Any]]:
    """Return what a stranger may write into a job's hash, each with a mark that it would leave if it ran."""
    function = "os.mkdir"
    named = json.dumps([function, None, [str(folder / "named")], {}]).encode()
    ours = {"tenant_id": str(SYSTEM_TENANT_ID), "entry_id": str(uuid.uuid4())}
    return {
        "a function's name": {"data": named},
        "a pickle": {"data": pickle.dumps(Marker(folder / "pickled"))},
        "a pickled job": {"data": pickle.dumps((function, None, (str(folder / "pickled job"),), {}))},
        "callbacks": {
            "data": b'["x", null, [], {}]',
            "success_callback_name": function.encode(),
            "failure_callback_name": function.encode(),
            "stopped_callback_name": function.encode(),
        },
        "a webhook": {"data": b"[]", "webhooks": json.dumps([{"url": "http://127.0.0.1:9/"}]).encode()},
        "no seal": {"data": json.dumps(["x", None, [], ours]).encode()},
        "another's seal": {"data": json.dumps(["x", None, [], {**ours, "seal": "00" * 32}]).encode()},
        "a seal that is no text": {"data": json.dumps(["x", None, [], {**ours, "seal": ["x"]}]).encode()},
        "too much": {"data": b"[" * (LARGEST + 1)},
        "depth": {"data": b"[" * LARGEST},
        "nothing": {"data": b""},
        "numbers": {"data": b"[1, 2, 3, NaN]"},
        "zeros": {"data": b"\0" * 64},
        "meta": {"data": b"{}", "meta": pickle.dumps(Marker(folder / "meta"))},
    }


def left_behind(folder: Path) -> list[Path]:
    """Return the marks that something left which ran."""
    return list(folder.iterdir())


async def test_a_forged_job_never_runs(post: Post, redis: Redis, work: Work, tmp_path: Path) -> None:
    """Each is refused, kept as a dead letter of the system tenant, and audited; a real one behind them runs."""
    kinds = forgeries(tmp_path)
    before = len(await post.rows("select 1 from audit_entries where action = 'job.refused'"))
    usual: dict[Any, Any] = {"created_at": b"2026-01-01T00:00:00.000000Z", "origin": b"default", "timeout": b"60"}
    for number, fields in enumerate(kinds.values()):
        redis.hset(f"rq:job:forged-{number}", mapping={**usual, **fields})
        redis.rpush("rq:queue:default", f"forged-{number}")
    await work()
    assert left_behind(tmp_path) == []
    letters = await post.rows("select * from outbox_entries where kind = 'refused' order by id")
    told = {row.payload["job_id"] for row in letters}
    # One without data is no job to the worker: it fails before it could be told from ours.
    assert told == {f"forged-{number}" for number, kind in enumerate(kinds) if kind != "nothing"}
    assert {(row.tenant_id, row.status) for row in letters} == {(SYSTEM_TENANT_ID, "dead")}
    assert all(row.error.startswith("refused: its ") for row in letters)
    audited = await post.rows("select outcome from audit_entries where action = 'job.refused'")
    assert len(audited) - before == len(letters)
    assert {row.outcome for row in audited} == {"denied"}


async def test_a_flood_of_forged_jobs_is_kept_in_part(post: Post, redis: Redis, work: Work) -> None:
    """So many an hour are dead letters; the rest is logged, and does not fill the database."""
    for number in range(REFUSED_AN_HOUR + 20):
        redis.hset(f"rq:job:flood-{number}", mapping={"data": b"[]", "origin": b"default"})
        redis.rpush("rq:queue:default", f"flood-{number}")
    await work()
    kept = len(await post.rows("select 1 from outbox_entries where kind = 'refused'"))
    assert REFUSED_AN_HOUR <= kept < REFUSED_AN_HOUR + 20
    assert redis.llen("rq:queue:default") == 0


def test_a_seal_is_for_one_entry_of_one_tenant() -> None:
    """Another tenant, another entry, another key: broken. A retired key still opens what it sealed."""
    ticket = Ticket(uuid.uuid4(), uuid.uuid4(), "name", "default")
    old, new = Seals([KEY]), Seals(["a new key, which is long enough as well", KEY])

    def data(**changes: str) -> bytes:
        return json.dumps(["x", None, [], {**old.arguments(ticket), **changes}]).encode()

    assert new.open(data()) == old.open(data()) == (ticket.tenant_id, ticket.id)
    for changes in ({"tenant_id": str(uuid.uuid4())}, {"entry_id": str(uuid.uuid4())}, {"seal": "é"}):
        with pytest.raises(SealBrokenError):
            old.open(data(**changes))
    with pytest.raises(SealBrokenError):
        Seals(["a new key, which is long enough as well"]).open(data())


async def test_a_broker_that_does_not_answer_is_said_to_be_away(tmp_path: Path) -> None:
    """Nothing listens at the address: the relay hears of it, and keeps the tickets."""
    transport = BrokerTransport(f"unix://{tmp_path}/nothing", Seals([KEY]), settings.tasks)
    ticket = Ticket(uuid.uuid4(), uuid.uuid4(), "name", "default")
    for step in (transport.send, transport.missing):
        with pytest.raises(TransportAwayError, match="does not answer"):
            await step([ticket])


async def test_a_commit_wakes_the_relay_of_another_process(broker: str, redis: Redis) -> None:
    """One message for many wake-ups at once; a listener is woken when it begins, too."""
    woken = asyncio.Event()
    listening = asyncio.create_task(listen(broker, woken.set))
    await asyncio.wait_for(woken.wait(), 10)
    announcer = Announcer(broker)
    woken.clear()
    for _ in range(50):
        announcer.wake()
    await asyncio.wait_for(woken.wait(), 10)
    await announcer.close()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_a_wake_up_that_gets_lost_harms_nobody(tmp_path: Path) -> None:
    """With the broker away, the commit that wanted to announce itself hears nothing of it."""
    announcer = Announcer(f"unix://{tmp_path}/nothing")
    announcer.wake()
    await announcer.close()
    assert announcer.sending is not None
    assert announcer.sending.exception() is None
