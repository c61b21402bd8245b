"""What is written when an execution ended, for the cases that need nothing but writing."""

import logging
import zlib
from base64 import b64encode
from datetime import datetime
from typing import Any

from rq.defaults import DEFAULT_FAILURE_TTL, UNSERIALIZABLE_RETURN_VALUE_PAYLOAD
from rq.job import Job, Retry
from rq.job_lifecycle import format_exc_info
from rq.results import Result
from rq.utils import now, utcformat

from app.rqworker import wire
from app.rqworker.running import Ended, Running

Entry = dict[str, Any]

log = logging.getLogger("rq.worker")


def changeable(job: Job) -> tuple[Any, ...]:
    """Return what a job may change of itself while it runs; RQ saves that when it ends."""
    return (job.description, job.timeout, job.result_ttl, job.failure_ttl, job.ttl, job.origin, job.retries_left)


def encode(job: Job, value: Any) -> str | None:
    """Return a value as RQ stores it in a result; one that cannot be encoded is replaced by RQ's words for that."""
    if value is None or isinstance(value, Retry):
        return None
    try:
        encoded = job.serializer.dumps(value)
    except BaseException:
        log.warning("Job %s: its return value (%s) cannot be encoded", job.id, type(value).__name__, exc_info=True)
        encoded = job.serializer.dumps(UNSERIALIZABLE_RETURN_VALUE_PAYLOAD)
    return b64encode(encoded).decode()


def error_text(error: BaseException) -> str:
    """Return an error with its traceback, as RQ shows it."""
    return format_exc_info((type(error), error, error.__traceback__))


def success(ended: Ended, worker: str, default_ttl: int) -> Entry | None:
    """Return what to write for a job that returned; None when RQ's own path has more to do than write."""
    item = ended.item
    job = item.job
    ttl = job.get_result_ttl(default_ttl)
    special = (
        isinstance(ended.value, Retry)
        or job._success_callback_name
        or job.repeats_left
        or job.webhooks
        or job.has_rate_limit
        or item.stopped
        or ttl == 0
        or ttl < -1
        or changeable(job) != item.before
    )
    if special:
        return None
    entry = written(item, "finished", now(), ttl)
    entry["result"] = [
        *result(Result.Type.SUCCESSFUL, item.execution.id, worker, item.execution.created_at, job.ended_at or now()),
        *(("return_value", ended.encoded) if ended.encoded is not None else ()),
    ]
    return entry


def failure(ended: Ended, worker: str, error: BaseException) -> Entry | None:
    """Return what to write for a job that raised; None when RQ's own path has more to do than write."""
    item = ended.item
    job = item.job
    special = (
        job._failure_callback_name
        or job.should_retry
        or job.webhooks
        or job.has_rate_limit
        or item.stopped
        or (job.failure_ttl is not None and (job.failure_ttl == 0 or job.failure_ttl < -1))
        or changeable(job) != item.before
    )
    if special:
        return None
    entry = written(item, "failed", now(), job.failure_ttl)
    started, at = item.execution.created_at, job.ended_at or now()
    entry["result"] = [
        *result(Result.Type.FAILED, item.execution.id, worker, started, at),
        "exc_string",
        compressed(error_text(error)),
    ]
    return entry


def written(item: Running, status: str, at: datetime, ttl: int | None) -> Entry:
    """Return what both ends have in common, and note the end in the job."""
    job = item.job
    job.ended_at = at
    entry: Entry = {
        "job": job.id,
        "execution": item.execution.id,
        "origin": wire.from_text(item.origin),
        "status": status,
        "ended": utcformat(at),
        "spent": (at - item.execution.created_at).total_seconds(),
        "default_ttl": DEFAULT_FAILURE_TTL,
    }
    if ttl is not None:
        entry["ttl"] = ttl
    if job._dependency_ids:
        entry["depends"] = True
    return entry


def broken(job_id: str, origin: str, execution: str, started: datetime, worker: str, error: BaseException) -> Entry:
    """Return what to write for a job that cannot even be read: its record says why. Texts are as on the wire."""
    at = now()
    return {
        "job": job_id,
        "execution": execution,
        "origin": origin,
        "status": "failed",
        "ended": utcformat(at),
        "spent": 0,
        "default_ttl": DEFAULT_FAILURE_TTL,
        "forced": True,
        "result": [
            *result(Result.Type.FAILED, execution, worker, started, at),
            "exc_string",
            compressed(error_text(error)),
        ],
    }


def result(kind: Result.Type, execution: str, worker: str, started: datetime, ended: datetime) -> list[str]:
    """Return the fields of an entry in the stream of results, names and values in turn."""
    return [
        "type",
        str(kind.value),
        "worker_name",
        wire.from_text(worker),
        "execution_id",
        execution,
        "execution_started_at",
        repr(started.timestamp()),
        "execution_ended_at",
        repr(ended.timestamp()),
    ]


def compressed(text: str) -> str:
    """Return the text of an error as RQ stores it."""
    return b64encode(zlib.compress(text.encode("utf-8", "backslashreplace"))).decode()
