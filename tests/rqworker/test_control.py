"""Stopping: single jobs, the worker, all workers; and what the command line shows."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from rq import Callback, Queue, Retry
from rq.command import (
    send_command,
    send_kill_horse_command,
    send_shutdown_command,
    send_stop_execution_command,
    send_stop_job_command,
)
from rq.job import Job, JobStatus
from rq.suspension import resume, suspend
from rq.utils import as_text
from rq.worker import BaseWorker

from tests.rqworker import jobs
from tests.rqworker.support import Broker, error_of, until

ROOT = Path(__file__).parents[2]


async def test_stopping_jobs(desk: Broker, queue: Queue) -> None:
    """A job, an execution, a thread: each ends as STOPPED, is not retried, and the others go on."""
    async with desk.working() as worker:
        stopped = queue.enqueue(jobs.wait, 30, on_stopped=Callback(jobs.stopped), retry=Retry(max=3))
        execution, thread = queue.enqueue(jobs.wait, 30), queue.enqueue(jobs.stuck, 3)
        beside = queue.enqueue(jobs.gated, "beside")
        four = (stopped, execution, thread, beside)
        await until(lambda: all(job.get_status() == JobStatus.STARTED for job in four))
        assert len(worker.get_current_executions(refresh=True)) == 4
        assert desk.redis.hget(worker.key, "state") == b"busy"
        send_stop_job_command(desk.redis, stopped.id)
        send_stop_execution_command(desk.redis, execution.id, execution.get_executions()[0].id)
        send_stop_job_command(desk.redis, thread.id)
        await until(lambda: all(job.get_status() == JobStatus.STOPPED for job in four[:3]))
        jobs.GATE.set()
        await until(lambda: beside.get_status() == JobStatus.FINISHED)
        await until(lambda: desk.redis.hget(worker.key, "state") == b"idle")
    assert desk.notes() == [f"stopped {stopped.id}"]
    assert stopped.id in queue.failed_job_registry
    desk.clean()


async def test_what_is_stopped_the_moment_it_is_taken(
    desk: Broker, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    """A command that is here before the job that it means, whose answer is still under way, is kept for it.

    One that can mean no job is not.
    """
    connection, over = desk.connect(), threading.Event()

    def stop_what_appears() -> None:
        seen: set[str] = set()
        while not over.is_set():
            for key in set(map(as_text, connection.keys("rq:execution:*"))) - seen:
                seen.add(key)
                _, _, job_id, execution_id = key.split(":")
                send_command(connection, worker.name, "stop-job", job_id=[job_id])
                send_stop_execution_command(connection, job_id, execution_id)

    async with desk.working() as worker:
        stopper = asyncio.create_task(asyncio.to_thread(stop_what_appears))
        try:
            ours = [queue.enqueue(jobs.wait, 30) for _ in range(200)]
            await until(lambda: all(job.get_status() == JobStatus.STOPPED for job in ours))
        finally:
            over.set()
            await stopper
    assert [record for record in caplog.records if record.name == "asyncio" and record.exc_info] == []
    desk.clean()


async def test_commands_that_mean_nothing_are_ignored(desk: Broker, queue: Queue) -> None:
    """And those that mean another worker's job."""
    async with desk.working() as worker:
        for command in ("dance", "stop-job", "stop-execution"):
            send_command(desk.redis, worker.name, command)
        desk.redis.publish(worker.pubsub_channel_name, b"\xff no JSON")
        desk.redis.publish(worker.pubsub_channel_name, b"[1]")
        job = queue.enqueue(jobs.wait, 30)
        await until(lambda: job.get_status() == JobStatus.STARTED)
        send_kill_horse_command(desk.redis, worker.name)
        await until(lambda: job.get_status() == JobStatus.FAILED)
    assert "ShutDownImminent" in error_of(job)


async def test_the_shutdown_command_wakes_an_idle_worker(desk: Broker) -> None:
    """At once, and the worker registers its death."""
    worker = desk.worker()
    task = asyncio.create_task(worker.work_async())
    await until(lambda: desk.redis.hget(worker.key, "state") == b"idle")
    begun = time.monotonic()
    send_shutdown_command(desk.redis, worker.name)
    await asyncio.wait_for(task, 10)
    assert time.monotonic() - begun < 2
    assert desk.redis.hget(worker.key, "death")
    assert not BaseWorker.all(connection=desk.redis)


async def test_a_warm_stop_drains_what_runs(desk: Broker, queue: Queue) -> None:
    """And takes nothing more; asked twice is once."""
    async with desk.working(max_concurrency=2) as worker:
        running = [queue.enqueue(jobs.wait, 0.6), queue.enqueue(jobs.plain_wait, 0.6)]
        waiting = [queue.enqueue(jobs.add, 1, 1) for _ in range(3)]
        await until(lambda: all(job.get_status() == JobStatus.STARTED for job in running))
        await asyncio.gather(worker.stop(), worker.stop(), worker.stop(grace=30))
        assert [job.get_status() for job in running] == [JobStatus.FINISHED] * 2
    assert worker.shutdown_requested_date is not None
    assert [job.get_status() for job in waiting] == [JobStatus.QUEUED] * 3
    assert queue.count == 3
    desk.clean()


async def test_a_stop_is_bounded_by_its_grace(desk: Broker, queue: Queue) -> None:
    """What still runs then ends, and is retried where it may be; a stubborn one is left behind."""
    async with desk.working(patience=0.3) as worker:
        failed, retried = queue.enqueue(jobs.wait, 30), queue.enqueue(jobs.wait, 30, retry=Retry(max=1))
        stubborn, thread = queue.enqueue(jobs.stubborn, 1.5), queue.enqueue(jobs.spin, 30)
        four = (failed, retried, stubborn, thread)
        await until(lambda: all(job.get_status() == JobStatus.STARTED for job in four))
        begun = time.monotonic()
        await worker.stop(grace=0.2)
        assert time.monotonic() - begun < 3
    assert [job.get_status() for job in four] == [
        JobStatus.FAILED,
        JobStatus.QUEUED,
        JobStatus.FAILED,
        JobStatus.FAILED,
    ]
    assert "Worker was shut down before the job ended" in error_of(failed)
    assert "was abandoned" in error_of(stubborn)
    desk.clean()


async def test_cancelling_the_worker_is_a_cold_stop(desk: Broker, queue: Queue) -> None:
    """What ran is recorded before the cancellation goes on."""
    worker = desk.worker()
    task = asyncio.create_task(worker.work_async())
    job = queue.enqueue(jobs.wait, 30)
    await until(lambda: job.get_status() == JobStatus.STARTED)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=10)
    assert done
    assert task.cancelled()
    assert job.get_status() == JobStatus.FAILED
    assert desk.redis.hget(worker.key, "death")
    desk.clean()


async def test_a_worker_can_work_again(desk: Broker, queue: Queue) -> None:
    """After a stop the same object starts anew."""
    worker = desk.worker()
    for _ in range(2):
        job = queue.enqueue(jobs.add, 1, 1)
        assert await worker.work_async(burst=True)
        assert job.get_status() == JobStatus.FINISHED


async def test_suspension(desk: Broker, queue: Queue) -> None:
    """Suspended workers take nothing, not even what they waited for; a burst ends."""
    async with desk.working() as worker:
        suspend(desk.redis)
        job = queue.enqueue(jobs.add, 1, 1)
        await until(lambda: desk.redis.hget(worker.key, "state") == b"suspended")
        assert job.get_status() == JobStatus.QUEUED
        assert not await desk.worker().work_async(burst=True)
        assert job.get_status() == JobStatus.QUEUED
        resume(desk.redis)
        await until(lambda: job.get_status() == JobStatus.FINISHED)
        await until(lambda: desk.redis.hget(worker.key, "state") == b"idle")


@contextmanager
def rq(desk: Broker, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    """Run RQ's command line in a process of its own; whatever happens, it is gone afterwards."""
    command = [sys.executable, "-m", "rq.cli", *arguments, "--url", desk.url, "--path", str(ROOT)]
    with subprocess.Popen(  # noqa: S603 - our own command
        command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_rqs_command_line(desk: Broker, queue: Queue) -> None:
    """`rq worker -w`, `rq info`; a first SIGTERM drains, a second one ends what runs."""
    failed, done = queue.enqueue(jobs.wait, 60), queue.enqueue(jobs.plain_add, 1, 1)
    retried = queue.enqueue(jobs.wait, 60, retry=Retry(max=1))
    with rq(desk, "worker", "-w", "app.rqworker.AsyncWorker", "q") as process:
        await until(lambda: failed.get_status() == retried.get_status() == JobStatus.STARTED, 30)
        await until(lambda: done.get_status() == JobStatus.FINISHED)
        with rq(desk, "info") as info:
            shown = (await asyncio.to_thread(info.communicate))[0]
        assert "busy" in shown
        assert "1 workers" in shown
        process.send_signal(signal.SIGTERM)
        await until(lambda: bool(asked(desk.redis)))
        await asyncio.sleep(1.05)  # a second signal within a second is taken for an echo of the first
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        output = (await asyncio.to_thread(process.communicate, timeout=60))[0]
    assert process.returncode == 0, output
    assert failed.get_status() == JobStatus.FAILED, output
    assert retried.get_status() == JobStatus.QUEUED, output
    assert Job.fetch(done.id, connection=desk.redis).return_value() == 2
    desk.clean()


def asked(connection: "Redis") -> list[Any]:
    """Return the workers that were asked to stop."""
    return [key for key in connection.smembers("rq:workers") if connection.hget(key, "shutdown_requested_date")]
