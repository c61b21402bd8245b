"""Jobs that misbehave: the worker goes on, and the job's record says what happened."""

import asyncio
import contextvars
import time
from typing import Any

import pytest
from rq import Callback, Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import decode_redis_hash

from app.rqworker.calls import Interrupted
from app.rqworker.threads import JobThread, Outcome
from tests.rqworker import jobs
from tests.rqworker.support import Broker, error_of, until


async def test_a_timeout_ends_that_job_alone(desk: Broker, queue: Queue) -> None:
    """On the loop and in a thread; what runs beside goes on."""
    slow = queue.enqueue(jobs.wait, 30, job_timeout=1, on_failure=Callback(jobs.failed))
    spinning = queue.enqueue(jobs.spin, 30, job_timeout=1)
    fine = queue.enqueue(jobs.wait, 1.3, "fine")
    begun = time.monotonic()
    worker = await desk.burst()
    assert time.monotonic() - begun < 6
    for job in (slow, spinning):
        assert job.get_status() == JobStatus.FAILED
        assert "JobTimeoutException: Task exceeded maximum timeout value (1 seconds)" in error_of(job)
        assert job.id in queue.failed_job_registry
    assert "in wait" in error_of(slow), "the traceback shows where the job was"
    assert fine.return_value(refresh=True) == "fine"
    assert desk.notes() == [f"failure {slow.id} JobTimeoutException"]
    assert int(desk.redis.hget(worker.key, "failed_job_count") or 0) == 2
    desk.clean()


@pytest.mark.parametrize("function", [jobs.stuck, jobs.stubborn])
async def test_what_does_not_end_is_abandoned_and_its_place_given_back(
    desk: Broker, queue: Queue, function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread inside C code, a coroutine that swallows its cancellation."""
    job, after = queue.enqueue(function, 4, job_timeout=1), queue.enqueue(jobs.add, 1, 1)
    begun = time.monotonic()
    await desk.burst(max_concurrency=1, patience=0.3)
    assert time.monotonic() - begun < 3.9
    assert after.return_value(refresh=True) == 2
    assert job.get_status() == JobStatus.FAILED
    assert "exceeded maximum timeout value (1 seconds)" in error_of(job)
    assert "was abandoned and may still run" in error_of(job)
    assert f"Job {job.id}: The function did not end" in caplog.text
    await until(lambda: not [task for task in asyncio.all_tasks() if task.get_name() == job.id])
    assert job.get_status() == JobStatus.FAILED
    desk.clean()


async def test_a_thread_that_was_interrupted_is_not_used_again(desk: Broker, queue: Queue) -> None:
    """A late error of one job can never strike another."""
    for _ in range(3):
        queue.enqueue(jobs.spin, 30, job_timeout=1)
    await desk.burst()
    after = [queue.enqueue(jobs.plain_add, 1, number) for number in range(20)]
    await desk.burst()
    assert [job.return_value(refresh=True) for job in after] == list(range(1, 21))


async def test_a_blocked_loop_is_reported_with_the_jobs_name(
    desk: Broker, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    """And everything is kept alive meanwhile."""
    async with desk.working(job_monitoring_interval=1, blocked_after=0.4):
        guilty, beside = queue.enqueue(jobs.block, 2.2), queue.enqueue(jobs.wait, 0.1)
        await until(lambda: guilty.get_status() == beside.get_status() == JobStatus.FINISHED)
    assert f"job {guilty.id} has blocked the event loop" in caplog.text
    assert "in block" in caplog.text
    assert "the event loop runs again" in caplog.text
    execution = guilty.latest_result()
    assert execution is not None
    found = Job.fetch(guilty.id, connection=desk.redis)
    assert found.last_heartbeat is not None


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (jobs.boom, (), "ValueError: boom"),
        (jobs.plain_boom, (), "ValueError: boom"),
        (jobs.leave, ("system",), "SystemExit: 3"),
        (jobs.leave, ("keyboard",), "KeyboardInterrupt"),
        (jobs.leave, ("cancel",), "CancelledError"),
        (jobs.plain_leave, ("system",), "SystemExit: 3"),
        (jobs.plain_leave, ("keyboard",), "KeyboardInterrupt"),
        (jobs.plain_leave, ("stop",), "StopIteration"),
        (jobs.exhaust, (), "MemoryError"),
        (jobs.deep, (), "RecursionError"),
        (jobs.add, ("one argument",), "TypeError"),
        ("tests.rqworker.jobs.nowhere", (), "ValueError: Invalid attribute name: nowhere"),
        ("no_such_module.function", (), "ValueError: Invalid attribute name: no_such_module"),
    ],
)
async def test_whatever_a_job_raises_is_its_own_failure(
    desk: Broker, queue: Queue, function: Any, arguments: tuple[Any, ...], message: str
) -> None:
    """Also what ends a program elsewhere; the next job runs."""
    job, after = queue.enqueue(function, *arguments), queue.enqueue(jobs.add, 1, 1)
    worker = await desk.burst()
    assert job.get_status() == JobStatus.FAILED
    assert job.id in queue.failed_job_registry
    assert message in error_of(job)
    assert after.return_value(refresh=True) == 2
    assert desk.redis.hmget(worker.key, "failed_job_count", "successful_job_count") == [b"1", b"1"]
    desk.clean()


@pytest.mark.parametrize("function", [jobs.unencodable, jobs.awkward])
async def test_a_result_that_cannot_be_encoded_is_said_to_be(desk: Broker, queue: Queue, function: Any) -> None:
    """RQ's words for it; the job has succeeded."""
    job = queue.enqueue(function)
    await desk.burst()
    assert job.get_status() == JobStatus.FINISHED
    assert job.return_value(refresh=True) == "Unserializable return value"
    desk.clean()


async def test_hashes_that_cannot_be_read_fail_with_the_reason(desk: Broker, queue: Queue) -> None:
    """Broken data, an unknown status, a hash without data, a key of another type; a job that is gone is skipped."""
    garbage, newer, empty, other, gone = (queue.enqueue(jobs.add, 1, 1) for _ in range(5))
    after = queue.enqueue(jobs.add, 1, 1)
    desk.redis.hset(garbage.key, "data", b"\x80garbage")
    desk.redis.hset(newer.key, "status", "a status of RQ 4")
    desk.redis.delete(empty.key, other.key, gone.key)
    desk.redis.hset(empty.key, "description", "nothing else")
    desk.redis.set(other.key, "no hash")
    await desk.burst()
    assert "DeserializationError" in error_of(garbage)
    newest = newer.latest_result()
    assert newest is not None
    assert "a status of RQ 4" in (newest.exc_string or "")
    assert desk.redis.hget(newer.key, "status") == b"failed"
    assert desk.redis.hget(empty.key, "status") == b"failed"
    assert "NoSuchJobError" in error_of(empty)
    for job in (garbage, newer, empty, other):
        assert job.id in queue.failed_job_registry
    assert not desk.redis.exists(gone.key)
    assert after.return_value(refresh=True) == 2
    desk.clean()


async def test_a_job_that_was_deleted_while_it_ran(desk: Broker, queue: Queue) -> None:
    """Nothing half is left of it."""
    async with desk.working():
        job = queue.enqueue(jobs.wait, 0.4)
        await until(lambda: job.get_status() == JobStatus.STARTED)
        job.delete()
        await until(lambda: not desk.redis.keys("rq:execution*"))
    if desk.redis.exists(job.key):
        assert Job.fetch(job.id, connection=desk.redis).get_status() == JobStatus.FINISHED
    desk.clean()


async def test_callbacks(desk: Broker, queue: Queue) -> None:
    """Of both kinds, each once; one that fails fails its job, whatever it raises."""
    good = queue.enqueue(jobs.add, 1, 2, on_success=Callback(jobs.succeeded))
    later = queue.enqueue(jobs.add, 3, 4, on_success=Callback(jobs.succeeded_later))
    bad = queue.enqueue(jobs.boom, on_failure=Callback(jobs.failed))
    broken = [
        queue.enqueue(jobs.add, 1, 1, on_success=Callback(function, timeout=1))
        for function in (jobs.bad_callback, jobs.rude_callback, jobs.slow_callback)
    ]
    await desk.burst()
    assert set(desk.notes()) == {f"success {good.id} 3", f"awaited {later.id} 7", f"failure {bad.id} ValueError"}
    assert [job.get_status() for job in (good, later)] == [JobStatus.FINISHED] * 2
    assert [job.get_status() for job in (bad, *broken)] == [JobStatus.FAILED] * 4
    for job, message in zip(broken, ("the callback failed", "SystemExit", "JobTimeout"), strict=True):
        assert message in error_of(job)
    desk.clean()


async def test_names_in_a_job_are_not_followed_when_they_are_not_to_be(desk: Broker, queue: Queue) -> None:
    """No callback, no webhook, no pickle: the subclass alone says what runs."""
    plain = desk.queue("json", serializer=JSONSerializer)
    job = plain.enqueue("os.system", "false", on_success=Callback("os.abort"), on_failure=Callback("os.abort"))
    desk.redis.hset(job.key, "webhooks", '[{"url": "http://127.0.0.1:9/", "job_status": "finished"}]')
    worker = desk.worker("json", serializer=JSONSerializer, callbacks=False, webhooks=False)
    restored = worker.restore(job.id, decode_redis_hash(desk.redis.hgetall(job.key)))
    assert restored.webhooks == []
    assert restored.success_callback is None
    assert restored.failure_callback is None
    pickled = desk.redis.rpush(plain.key, queue.enqueue(jobs.add, 1, 1).id)
    assert pickled == 2
    assert await worker.work_async(burst=True)
    assert job.get_status() == JobStatus.FINISHED
    assert int(desk.redis.hget(worker.key, "failed_job_count") or 0) == 1, "JSON does not read a pickle"


async def test_a_thread_interrupted_before_it_begins_does_not_begin() -> None:
    """On a busy machine a thread may not have taken its call yet: that call is over, and whoever waits hears of it."""
    begun: list[bool] = []
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    thread = JobThread([])
    thread.give(lambda: begun.append(True), contextvars.copy_context(), done)
    thread.interrupt(Interrupted)
    thread.start()
    value, error = await asyncio.wait_for(done, 30)
    thread.join(5)
    assert (value, type(error), begun, thread.is_alive()) == (None, Interrupted, [], False)
