"""What the tests of the worker share: how to wait, how to work beside a test, and what must be true afterwards."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus

from app.rqworker import AsyncWorker
from tests.rqworker.jobs import NOTES


async def until(condition: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@dataclass
class Broker:
    """A Redis, and workers on it."""

    url: str
    redis: "Redis"
    made: list["Redis"] = field(default_factory=list)

    def connect(self) -> "Redis":
        """Open another connection."""
        connection = Redis.from_url(self.url)
        self.made.append(connection)
        return connection

    def queue(self, name: str = "q", **options: Any) -> Queue:
        """Return a queue."""
        return Queue(name, connection=self.redis, **options)

    def worker(self, *queues: str, **options: Any) -> AsyncWorker:
        """Return a worker with a connection of its own."""
        return AsyncWorker(list(queues or ("q",)), connection=self.connect(), **options)

    async def burst(self, *queues: str, **options: Any) -> AsyncWorker:
        """Work until the queues are empty."""
        worker = self.worker(*queues, **options)
        await asyncio.wait_for(worker.work_async(burst=True), 60)
        return worker

    @asynccontextmanager
    async def working(
        self, *queues: str, options: dict[str, Any] | None = None, **arguments: Any
    ) -> AsyncIterator[AsyncWorker]:
        """Work beside the test, until its end."""
        worker = self.worker(*queues, **arguments)
        task = asyncio.create_task(worker.work_async(**(options or {})))
        await until(lambda: task.done() or self.redis.hget(worker.key, "state") == b"idle")
        try:
            yield worker
        finally:
            await asyncio.wait_for(worker.stop(grace=5), 30)
            await task

    def status(self, job: Job) -> JobStatus:
        """Return a job's status as Redis has it."""
        return job.get_status()

    def finished(self, name: str = "q") -> int:
        """Count the jobs that succeeded: one command, however many they are."""
        return int(self.redis.zcard(self.queue(name).finished_job_registry.key))

    def notes(self) -> list[str]:
        """Return what jobs and callbacks wrote down."""
        found: list[Any] = self.redis.lrange(NOTES, 0, -1)
        return [line.decode() for line in found]

    def clean(self, *names: str) -> None:
        """Assert that no trace of an execution is left."""
        for queue in map(self.queue, names or ("q",)):
            assert self.redis.llen(queue.intermediate_queue_key) == 0
            assert self.redis.zcard(queue.started_job_registry.key) == 0
        assert not self.redis.keys("rq:execution*")
        assert not self.redis.keys("rq:worker:*:executions")


def error_of(job: Job) -> str:
    """Return the text of a job's last failure."""
    result = job.latest_result()
    assert result is not None
    assert result.exc_string is not None
    return result.exc_string
