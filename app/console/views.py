"""The views of the dashboard that read or change a task: its own would unpickle what the broker holds.

They say which serializer a task is read with. RQ's own, where nobody says it, is pickle, and reading is then running.
"""

import json
from typing import Any

from flask import render_template, url_for
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.version import VERSION
from rq_dashboard.version import VERSION as DASHBOARD_VERSION
from rq_dashboard.web import escape_format_instance_list, serialize_date
from werkzeug.exceptions import HTTPException

from app.console.exceptions import BrokerUnreachableError, JobNotFailedError, JobNotFoundError, UnreadableError
from app.exceptions import AppError
from app.extensions.logs import get_logger

UNREADABLE = "(unreadable)"

log = get_logger(__name__)


class ShownSerializer(JSONSerializer):
    """JSON to be looked at: what is none is shown as unreadable, and does not take the whole page with it."""

    @staticmethod
    def loads(s: bytes, *_: Any, **__: Any) -> Any:
        """Return what is stored."""
        try:
            return json.loads(s.decode(), parse_constant=str)
        except (ValueError, RecursionError):
            return UNREADABLE


class TaskViews:
    """The views; `routes` says which rules they answer in the place of the dashboard's own."""

    def __init__(self, connection: Redis, addresses: tuple[str, ...], poll_interval: int) -> None:
        self.connection = connection
        self.page = {
            "current_instance": 0,
            "instance_list": escape_format_instance_list(addresses),
            "rq_dashboard_version": DASHBOARD_VERSION,
            "rq_version": VERSION,
            "poll_interval": poll_interval,
            "enable_delete": False,
        }

    def job(self, instance_number: int, job_id: str) -> str:
        """Show the page of a task; its script asks for the rest."""
        if instance_number or not Job.exists(job_id, connection=self.connection):
            raise JobNotFoundError
        prefix = url_for("rq_dashboard.queues_overview")
        return render_template("rq_dashboard/job.html", id=job_id, rq_url_prefix=prefix, **self.page)

    def workers(self, instance_number: int) -> dict[str, Any]:
        """Return all workers, and what they do."""
        if instance_number:
            raise JobNotFoundError
        found = Worker.all(connection=self.connection, serializer=ShownSerializer)
        return {"workers": sorted(map(shown, found), key=lambda one: (one["state"], one["queues"], one["name"]))}

    def requeue(self, job_id: str) -> dict[str, Any]:
        """Put one failed task back into its queue, as it is."""
        try:
            Job.fetch(job_id, connection=self.connection, serializer=JSONSerializer).requeue()
        except InvalidJobOperation:
            raise JobNotFailedError from None
        return {"status": "OK"}

    def requeue_all(self, queue_name: str) -> dict[str, Any]:
        """Put all failed tasks back into a queue, but those that are gone meanwhile."""
        queue, count = Queue(queue_name, connection=self.connection, serializer=JSONSerializer), 0
        for job_id in queue.failed_job_registry.get_job_ids(cleanup=False):
            try:
                self.requeue(job_id)
            except (JobNotFailedError, NoSuchJobError):
                continue
            count += 1
        return {"status": "OK", "count": count}


def shown(worker: Any) -> dict[str, Any]:
    """Return a worker as the dashboard's script reads it."""
    return {
        "name": worker.name,
        "pid": worker.pid,
        "queues": [queue.name for queue in worker.queues],
        "state": str(worker.get_state()),
        "current_job": current(worker),
        "last_heartbeat": serialize_date(worker.last_heartbeat),
        "birth_date": serialize_date(worker.birth_date),
        "successful_job_count": worker.successful_job_count,
        "failed_job_count": worker.failed_job_count,
        "total_working_time": worker.total_working_time,
        "version": worker.version,
        "python_version": worker.python_version,
    }


def current(worker: Any) -> dict[str, Any] | str:
    """Return the task that a worker runs, or "idle"; one that cannot be read hides no worker."""
    job_id = worker.get_current_job_id()
    if job_id is None:
        return "idle"
    found = {"job_id": job_id, "description": UNREADABLE, "created_at": None, "call_string": UNREADABLE}
    try:
        job = worker.get_current_job()
        found |= {"description": job.description, "created_at": serialize_date(job.created_at)}
        found |= {"call_string": job.get_call_string() or UNREADABLE}
    except (NoSuchJobError, DeserializationError, ValueError, TypeError):
        log.warning("console_unreadable_task", job_id=job_id)
    return found


def refuse(error: Exception) -> HTTPException:
    """Answer what a view raised: as the framework does, or with an error of ours that says nothing of the inside."""
    match error:
        case HTTPException():
            return error
        case AppError():
            raise error
        case NoSuchJobError():
            raise JobNotFoundError from error
        case RedisError():
            raise BrokerUnreachableError from error
        case _:
            log.warning("console_unreadable", exc_info=error)
            raise UnreadableError from error
