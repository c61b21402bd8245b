"""Every address of the dashboard, out of its own table of rules, and tasks to fill them with."""

import re
import uuid
from typing import NamedTuple

from redis import Redis
from rq import Queue, SimpleWorker, get_current_job
from rq.job import Job
from rq.serializers import JSONSerializer

from app.console.rq import ENDPOINTS, Dashboard, Kind

ARGUMENT = re.compile(r"<(?:\w+:)?(\w+)>")
ROOT = "/console/rq"
SHOWN = (Kind.page, Kind.data, Kind.file)


class Address(NamedTuple):
    """One address: what it is, its path, and the methods by which the dashboard itself would answer."""

    endpoint: str
    kind: Kind
    path: str
    methods: frozenset[str]


def addresses(job_id: str = "no-such-task", queue: str = "default", registry: str = "failed") -> list[Address]:
    """Return an address for each rule; those of the dashboard that ours replace are the same ones."""
    values = {
        "instance_number": "0",
        "job_id": job_id,
        "queue_name": queue,
        "registry_name": registry,
        "per_page": "8",
        "order": "asc",
        "page": "1",
        "filename": "css/main.css",
    }
    rules = Dashboard("redis://nowhere.invalid").flask.url_map.iter_rules()
    return [
        Address(
            rule.endpoint,
            ENDPOINTS[rule.endpoint],
            ROOT + ARGUMENT.sub(lambda found: values[found[1]], rule.rule),
            frozenset(rule.methods or ()),
        )
        for rule in rules
    ]


def fail_sometimes(times: int) -> str:
    """Be a task: it fails as long as the broker counts fewer runs than that."""
    job = get_current_job()
    assert job is not None
    runs = job.connection.incr(f"runs of {job.id}")
    if runs <= times:
        raise RuntimeError(f"it fails for the {runs}. time")
    return "it worked"


def failed_task(redis: Redis, *, queue: str | None = None, times: int = 1) -> Job:
    """Return a task that a worker of RQ's has tried in vain."""
    name = queue or f"q{uuid.uuid4().hex[:8]}"
    job = Queue(name, connection=redis, serializer=JSONSerializer).enqueue(
        "tests.console.addresses.fail_sometimes", times
    )
    work_off(redis, name)
    return job


def work_off(redis: Redis, queue: str) -> None:
    """Let a worker of RQ's do what waits in a queue, in this process."""
    SimpleWorker([queue], connection=redis, serializer=JSONSerializer).work(burst=True)


def run_by(redis: Redis, name: str, job_id: str) -> None:
    """Let a worker say that it runs a task, in the form in which RQ's own does."""
    redis.sadd("rq:workers", f"rq:worker:{name}")
    redis.hset(f"rq:worker:{name}", mapping={"state": "busy", "queues": "default", "current_job": job_id})
    redis.sadd(f"rq:worker:{name}:executions", f"{job_id}:e")
    redis.hset(
        f"rq:execution:{job_id}:e",
        mapping={"id": "e", "job_id": job_id, "created_at": 1e9, "last_heartbeat": 1e9, "worker_name": name},
    )


def label(address: Address) -> str:
    """Return how a test names an address."""
    return f"{address.endpoint} {address.path}"
