"""The life of a job that goes well, as RQ's own tools see it."""

import asyncio
import time
from datetime import timedelta
from functools import partial

from rq import Queue, Repeat, Retry
from rq.group import Group
from rq.job import Job, JobStatus
from rq.rate_limit import RateLimit
from rq.worker import DequeueStrategy, SimpleWorker

from app.rqworker.threads import ThreadDeathPenalty
from tests.rqworker import jobs
from tests.rqworker.support import Broker, error_of, until


async def test_many_run_at_once_and_leave_what_rq_leaves(desk: Broker, queue: Queue) -> None:
    """A hundred jobs of 0.2 s take no more than two of them, and everything RQ keeps is there."""
    made = [queue.enqueue(jobs.wait, 0.2, number) for number in range(100)]
    begun = time.monotonic()
    worker = await desk.burst()
    assert time.monotonic() - begun < 3
    assert [job.return_value(refresh=True) for job in made] == list(range(100))
    job = Job.fetch(made[0].id, connection=desk.redis)
    assert job.is_finished
    assert job.worker_name == worker.name
    assert job.started_at is not None
    assert job.ended_at is not None
    assert job.ended_at - job.started_at >= timedelta(seconds=0.19)
    result = job.latest_result()
    assert result is not None
    assert result.type == result.Type.SUCCESSFUL
    assert result.worker_name == worker.name
    assert result.execution_id
    assert result.execution_started_at == job.started_at
    assert 0 < desk.redis.ttl(job.key) <= 500
    assert 0 < desk.redis.ttl(result.get_key(job.id)) <= 500
    known = desk.redis.hgetall(worker.key)
    assert int(known[b"successful_job_count"]) == 100
    assert float(known[b"total_working_time"]) > 19
    assert known[b"state"] == b"idle"
    assert queue.finished_job_registry.count == 100
    desk.clean()


async def test_no_more_than_allowed_run_at_once(desk: Broker, queue: Queue) -> None:
    """The limit is kept, and used."""
    for _ in range(12):
        queue.enqueue(jobs.count_together, "n", 0.05)
    await desk.burst(max_concurrency=3)
    assert max(map(int, desk.redis.lrange("n:seen", 0, -1))) == 3


async def test_coroutines_share_the_loop_and_plain_functions_have_threads(desk: Broker, queue: Queue) -> None:
    """One loop for all; a plain function that returns a coroutine has it awaited there."""
    here = [queue.enqueue(jobs.loop_id) for _ in range(2)]
    thread, awaited = queue.enqueue(jobs.plain_wait, 0.01), queue.enqueue(jobs.coroutine_of_plain)
    await desk.burst()
    assert {job.return_value(refresh=True) for job in here} == {id(asyncio.get_running_loop())}
    assert str(thread.return_value(refresh=True)).startswith("rq-job-")
    assert awaited.return_value(refresh=True) == 42


async def test_each_job_is_its_own_current_job(desk: Broker, queue: Queue) -> None:
    """`get_current_job` is right in every job, on the loop and in threads."""
    here = [queue.enqueue(jobs.who) for _ in range(20)]
    there = [queue.enqueue(jobs.plain_who) for _ in range(20)]
    await desk.burst()
    assert all(job.return_value(refresh=True) is True for job in here)
    assert [job.return_value(refresh=True) for job in there] == [job.id for job in there]


def finished(job: Job) -> bool:
    """Tell whether a job has succeeded."""
    return job.get_status() == JobStatus.FINISHED


async def test_an_idle_worker_hears_of_a_job_at_once(desk: Broker, queue: Queue) -> None:
    """No polling: the median from enqueue to the start is a few milliseconds, on a busy machine too."""
    async with desk.working():
        waits = []
        for _ in range(21):
            job = queue.enqueue(jobs.add, 1, 1)
            await until(partial(finished, job))
            found = Job.fetch(job.id, connection=desk.redis)
            assert found.started_at is not None
            assert found.enqueued_at is not None
            waits.append((found.started_at - found.enqueued_at).total_seconds())
    assert sorted(waits)[10] < 0.02


async def test_what_a_job_changes_of_itself_is_saved(desk: Broker, queue: Queue) -> None:
    """As in RQ, where the whole job is written at its end."""
    job = queue.enqueue(jobs.rename)
    await desk.burst()
    found = Job.fetch(job.id, connection=desk.redis)
    assert (found.description, found.result_ttl) == ("renamed", 77)
    assert 0 < desk.redis.ttl(job.key) <= 77
    desk.clean()


async def test_results_of_any_text(desk: Broker, queue: Queue) -> None:
    """Names, arguments and results of any language pass unchanged, on queues of any name."""
    other = desk.queue("größe-队列")
    job = other.enqueue(jobs.wait, 0, "ключ \0 \U0001f600")
    await desk.burst("größe-队列")
    assert job.return_value(refresh=True) == "ключ \0 \U0001f600"
    desk.clean("größe-队列")


async def test_result_ttls(desk: Broker, queue: Queue) -> None:
    """A result that is not wanted takes the job with it; one for ever stays."""
    unwanted, kept = queue.enqueue(jobs.add, 1, 1, result_ttl=0), queue.enqueue(jobs.add, 1, 1, result_ttl=-1)
    await desk.burst()
    assert not desk.redis.exists(unwanted.key)
    assert desk.redis.ttl(kept.key) == -1
    assert kept.return_value(refresh=True) == 2
    desk.clean()


async def test_repeats_groups_and_rate_limits(desk: Broker, queue: Queue) -> None:
    """What RQ adds to a job's end still happens."""
    queue.enqueue(jobs.say, "repeated", repeat=Repeat(times=2))
    group = Group.create(connection=desk.redis)
    group.enqueue_many(queue, [Queue.prepare_data(jobs.say, ("grouped",)) for _ in range(3)])
    limited = [queue.enqueue(jobs.count_together, "rl", 0.02, rate_limit=RateLimit("k", 2)) for _ in range(8)]
    await desk.burst()
    assert desk.notes().count("repeated") == 3
    assert all(job.is_finished for job in group.get_jobs())
    assert all(job.get_status() == JobStatus.FINISHED for job in limited)
    assert max(map(int, desk.redis.lrange("rl:seen", 0, -1))) <= 2
    desk.clean()


async def test_queues_in_order_of_priority(desk: Broker) -> None:
    """The first queue goes first; `max_jobs` counts exactly."""
    high, low = desk.queue("high"), desk.queue("low")
    for number in range(3):
        low.enqueue(jobs.say, f"low {number}")
        high.enqueue(jobs.say, f"high {number}")
    worker = desk.worker("high", "low", max_concurrency=1)
    assert await worker.work_async(max_jobs=4)
    assert desk.notes() == ["high 0", "high 1", "high 2", "low 0"]
    desk.clean("high", "low")


async def test_queues_in_turns(desk: Broker) -> None:
    """Round robin takes from each queue in turn, also in a batch."""
    one, two = desk.queue("one"), desk.queue("two")
    for number in range(2):
        two.enqueue(jobs.say, f"two {number}")
        one.enqueue(jobs.say, f"one {number}")
    worker = desk.worker("one", "two", max_concurrency=1)
    await worker.work_async(burst=True, dequeue_strategy=DequeueStrategy.ROUND_ROBIN)
    assert desk.notes() == ["one 0", "two 0", "one 1", "two 1"]


async def test_queues_at_random(desk: Broker) -> None:
    """The random strategy drains all queues."""
    made = [desk.queue(name).enqueue(jobs.add, 1, 1) for name in ("one", "two") for _ in range(5)]
    worker = desk.worker("one", "two")
    await worker.work_async(burst=True, dequeue_strategy=DequeueStrategy.RANDOM)
    assert all(job.get_status() == JobStatus.FINISHED for job in made)


async def test_an_idle_worker_waits_for_every_queue(desk: Broker) -> None:
    """It hears of a job in any of its queues, and leaves after its idle time."""
    last = desk.queue("last")
    async with desk.working("first", "last"):
        job = last.enqueue(jobs.add, 1, 1)
        await until(lambda: job.get_status() == JobStatus.FINISHED)
    begun = time.monotonic()
    assert not await desk.worker("first", "last").work_async(max_idle_time=0.5)
    assert 0.4 < time.monotonic() - begun < 3


async def test_a_worker_of_rq_shares_the_queue(desk: Broker, queue: Queue) -> None:
    """Both kinds of workers understand each other's jobs."""
    made = [queue.enqueue(jobs.wait, 0.01, number) for number in range(20)]
    await asyncio.to_thread(SimpleWorkerInThread([queue], connection=desk.connect()).work, burst=True, max_jobs=5)
    await desk.burst()
    assert [job.return_value(refresh=True) for job in made] == list(range(20))
    desk.clean()


class SimpleWorkerInThread(SimpleWorker):
    """RQ's own worker, without what only the main thread may do."""

    death_penalty_class = ThreadDeathPenalty

    def _install_signal_handlers(self) -> None:
        """Leave the signals alone."""


async def test_retries(desk: Broker, queue: Queue) -> None:
    """A job that raises, one that asks for another try, and one that waits for it."""
    raised = queue.enqueue(jobs.boom, retry=Retry(max=2))
    asked = queue.enqueue(jobs.again)
    later = queue.enqueue(jobs.boom, retry=Retry(max=1, interval=60))
    await desk.burst()
    assert raised.get_status() == JobStatus.FAILED
    assert Job.fetch(raised.id, connection=desk.redis).retries_left == 0
    assert "boom" in error_of(raised)
    assert [result.type.name for result in asked.results()] == ["MAX_RETRIES_EXCEEDED", "RETRIED", "RETRIED"]
    assert later.get_status() == JobStatus.SCHEDULED
    assert later.id in queue.scheduled_job_registry
    desk.clean()


async def test_the_scheduler(desk: Broker, queue: Queue) -> None:
    """What is scheduled runs, retries in an interval too; the locks are given back."""
    soon = queue.enqueue_in(timedelta(seconds=1), jobs.add, 1, 2)
    again = queue.enqueue(jobs.again_later)
    async with desk.working(options={"with_scheduler": True}):
        await until(lambda: soon.get_status() == JobStatus.FINISHED and again.get_status() == JobStatus.FAILED)
    assert not desk.redis.keys("rq:scheduler*")
    due = queue.enqueue_in(timedelta(seconds=-1), jobs.add, 1, 2)
    await desk.worker().work_async(burst=True, with_scheduler=True)
    assert due.get_status() == JobStatus.FINISHED
    assert not desk.redis.keys("rq:scheduler*")
