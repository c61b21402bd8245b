"""A worker in a process of its own, with short leases: `python -m tests.rqworker.process ADDRESS`."""

import sys

from redis import Redis

from app.rqworker import AsyncWorker

if __name__ == "__main__":
    AsyncWorker(["q"], connection=Redis.from_url(sys.argv[1]), job_monitoring_interval=1, margin=1).work()
