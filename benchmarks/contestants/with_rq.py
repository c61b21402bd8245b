"""RQ's own worker, which forks: `with_rq.py PORT KIND COUNT`."""

import logging
import sys

import redis
import work
from rq import Queue, Worker

logging.getLogger("rq.worker").setLevel(logging.WARNING)
port, kind, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
connection = redis.Redis(port=port)
queue = Queue("bench", connection=connection)
queue.enqueue_many([Queue.prepare_data(work.FUNCTIONS[kind]) for _ in range(count)])
watch = work.Watch()
Worker([queue], connection=connection).work(burst=True)
watch.tell(done=queue.finished_job_registry.count)
