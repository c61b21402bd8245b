"""Processes that die and a Redis that goes away: nothing is lost, nothing is written twice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue, Retry
from rq.command import send_stop_execution_command
from rq.job import Job, JobStatus
from rq.utils import as_text

from app.embedded.valkey import Valkey
from tests.rqworker import jobs
from tests.rqworker.support import Broker, error_of, until

ROOT = Path(__file__).parents[2]
SHORT: dict[str, Any] = {"job_monitoring_interval": 1, "margin": 1}
"""A lease of two seconds."""


@contextmanager
def process(desk: Broker) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a worker elsewhere; whatever happens, it is gone afterwards."""
    command = [sys.executable, "-m", "tests.rqworker.process", desk.url]
    started = subprocess.Popen(command, cwd=ROOT)  # noqa: S603 - our own module
    try:
        yield started
    finally:
        started.kill()
        started.wait()


async def test_a_killed_worker_loses_no_job(desk: Broker, queue: Queue) -> None:
    """What it ran is retried, or fails with the reason and its callback; what waited is done, by another worker."""
    failed = queue.enqueue(jobs.wait, 60, on_failure=Callback(jobs.failed))
    retried = queue.enqueue(jobs.wait, 0, retry=Retry(max=1))
    desk.redis.hset(retried.key, "timeout", 60)
    running = [queue.enqueue(jobs.wait, 60, retry=Retry(max=1)) for _ in range(20)]
    with process(desk) as worker:
        await until(lambda: all(job.get_status() == JobStatus.STARTED for job in (failed, *running)), 30)
        waiting = [queue.enqueue(jobs.add, 1, number) for number in range(100)]
        worker.send_signal(signal.SIGSTOP)
        more = [queue.enqueue(jobs.add, 1, number) for number in range(50)]
        worker.kill()
        worker.wait()
    async with desk.working(**SHORT) as other:
        name = other.name.encode()
        await until(lambda: failed.get_status() == JobStatus.FAILED, 20)
        await until(lambda: all(job.get_status() in (JobStatus.STARTED, JobStatus.QUEUED) for job in running), 20)
        ended = (JobStatus.FINISHED, JobStatus.FAILED)
        await until(lambda: all(job.get_status() in ended for job in waiting) if not queue.count else None, 20)
        await until(lambda: all(job.get_status() == JobStatus.FINISHED for job in more), 20)
        await until(lambda: all(desk.redis.hget(job.key, "worker_name") == name for job in running), 20)
        assert all(desk.redis.hget(job.key, "retries_left") == b"0" for job in running)
        await stop_all(desk)
    assert "AbandonedJobError" in error_of(failed)
    assert desk.notes() == [f"failure {failed.id} AbandonedJobError"]
    for job in waiting:
        if job.get_status() == JobStatus.FAILED:
            assert "AbandonedJobError" in error_of(job), "taken by the worker that was killed, and visible"
    desk.clean()


async def stop_all(desk: Broker) -> None:
    """Stop every job that runs."""
    for key in desk.redis.keys("rq:execution:*"):
        _, _, job_id, execution_id = as_text(key).split(":")
        send_stop_execution_command(desk.redis, job_id, execution_id)
    await until(lambda: not desk.redis.keys("rq:execution:*"))


async def test_what_another_worker_died_with_in_its_hands(desk: Broker, queue: Queue) -> None:
    """A job that RQ's own worker popped and never started is found by RQ's means."""
    job = queue.enqueue(jobs.add, 1, 1)
    desk.redis.lmove(queue.key, queue.intermediate_queue_key)
    worker = desk.worker()
    await asyncio.to_thread(worker.clean_registries)
    desk.redis.set(queue.intermediate_queue.get_first_seen_key(job.id), time.time() - 61)
    await asyncio.to_thread(worker.clean_registries)
    assert job.get_status() == JobStatus.FAILED
    desk.clean()


def lease(desk: Broker, queue: Queue) -> float:
    """Return when the last of all leases ends."""
    found: list[Any] = desk.redis.zrange(queue.started_job_registry.key, -1, -1, withscores=True)
    return float(found[0][1])


async def test_heartbeats_extend_and_never_revive(desk: Broker, queue: Queue) -> None:
    """Leases move on while jobs run; a heartbeat that comes late leaves nothing behind."""
    async with desk.working(**SHORT) as worker:
        job, gone = queue.enqueue(jobs.wait, 4), queue.enqueue(jobs.wait, 0.1, result_ttl=0)
        await until(lambda: job.get_status() == JobStatus.STARTED)
        first = lease(desk, queue)
        seen = desk.redis.hget(worker.key, "last_heartbeat")
        await until(lambda: desk.redis.hget(worker.key, "last_heartbeat") != seen)
        await until(lambda: lease(desk, queue) > first)
        await until(lambda: job.get_status() == JobStatus.FINISHED)
        await until(lambda: not desk.redis.exists(gone.key))
        seen = desk.redis.hget(worker.key, "last_heartbeat")
        await until(lambda: desk.redis.hget(worker.key, "last_heartbeat") != seen)
        assert not desk.redis.exists(gone.key)
    assert Job.fetch(job.id, connection=desk.redis).get_status() == JobStatus.FINISHED
    desk.clean()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[tuple[Valkey, Broker]]:
    """Yield a Valkey that a test may stop."""
    valkey = Valkey(tmp_path / "valkey")
    valkey.start()
    connection = Redis.from_url(valkey.url)
    desk = Broker(valkey.url, connection)
    yield valkey, desk
    for opened in (*desk.made, connection):
        opened.close()
    valkey.stop()


async def test_a_redis_that_restarts_costs_time_only(own: tuple[Valkey, Broker]) -> None:
    """Fifty jobs end while it is away: each is saved once, and the worker goes on, also hearing commands."""
    valkey, desk = own
    queue = desk.queue()
    async with desk.working() as worker:
        made = [queue.enqueue(jobs.wait, 1.5, number) for number in range(50)]
        rare = queue.enqueue(jobs.wait, 1.5, on_success=Callback(jobs.succeeded))
        await until(lambda: all(job.get_status() == JobStatus.STARTED for job in (*made, rare)))
        await asyncio.to_thread(valkey.stop)
        await asyncio.sleep(1.7)  # the jobs end meanwhile
        await asyncio.to_thread(valkey.start)
        await until(lambda: desk.finished() == 51)
        assert [job.return_value(refresh=True) for job in made] == list(range(50))
        assert all(len(job.results()) == 1 for job in (*made, rare))
        assert desk.notes() == [f"success {rare.id} None"]
        await until(lambda: desk.redis.hget(worker.key, "successful_job_count") == b"51")
        after = queue.enqueue(jobs.wait, 30)
        await until(lambda: after.get_status() == JobStatus.STARTED)
        await until(lambda: desk.redis.publish(worker.pubsub_channel_name, b'{"command": "kill-horse"}') == 1)
        await until(lambda: after.get_status() == JobStatus.FAILED)
    desk.clean()


async def test_a_redis_that_hangs_costs_time_only(own: tuple[Valkey, Broker]) -> None:
    """No answer for two seconds, in the middle of work."""
    valkey, desk = own
    queue = desk.queue()
    made = [queue.enqueue(jobs.wait, 0.02, number) for number in range(300)]
    async with desk.working(max_concurrency=10):
        await until(lambda: desk.finished() >= 60)
        pid = valkey.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(2)
        os.kill(pid, signal.SIGCONT)
        await until(lambda: desk.finished() == 300)
    assert all(len(job.results()) == 1 for job in made)
    desk.clean()


async def test_answers_that_were_lost(own: tuple[Valkey, Broker]) -> None:
    """The connection breaks again and again between a request and its answer: every job runs, is saved once."""
    _, desk = own
    queue = desk.queue()
    made = [queue.enqueue(jobs.wait, 0.01, number) for number in range(300)]
    async with desk.working(max_concurrency=10):
        for _ in range(15):
            desk.redis.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.03)
        await until(lambda: desk.finished() == 300)
    assert [job.return_value(refresh=True) for job in made] == list(range(300))
    assert all(len(job.results()) == 1 for job in made)
    desk.clean()
