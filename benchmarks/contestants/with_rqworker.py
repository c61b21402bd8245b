"""Our worker: `with_rqworker.py PORT KIND COUNT`; more than `MANY` are put on the queue in parts, memory is watched."""

import logging
import sys
import threading
import time

import redis
import work
from rq import Queue

from app.rqworker import AsyncWorker

PART = 2_000
MANY = 10_000

logging.getLogger("rq.worker").setLevel(logging.WARNING)
port, kind, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
connection = redis.Redis(port=port)
queue = Queue("bench", connection=connection)
seen: dict[str, int] = {}


def put(number: int, **options: int) -> None:
    """Put jobs on the queue."""
    for start in range(0, number, 500):
        size = min(500, number - start)
        queue.enqueue_many([Queue.prepare_data(work.FUNCTIONS[kind], **options) for _ in range(size)])


def feed(worker: AsyncWorker) -> None:
    """Keep the queue filled, and note the memory `MANY` jobs and at the end."""
    fed = done = 0
    while done < count:
        if fed < count and queue.count < PART:
            put(PART, result_ttl=5)
            fed += PART
        done = int(connection.hget(worker.key, "successful_job_count") or 0)
        if done >= MANY and "at 10,000" not in seen:
            seen["at 10,000"] = work.resident()
        time.sleep(0.02)
    worker.request_stop()


if count <= MANY:
    put(count)
    watch = work.Watch()
    AsyncWorker([queue], connection=connection).work(burst=True)
    finished = queue.finished_job_registry.count
    watch.tell(done=finished)
else:
    worker = AsyncWorker([queue], connection=connection)
    threading.Thread(target=feed, args=(worker,), daemon=True).start()
    watch = work.Watch()
    worker.work()
    watch.tell(done=int(connection.hget(worker.key, "successful_job_count") or 0), memory=seen)
