"""The API's view of tasks, deliveries and dead letters."""

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import StringConstraints

from app.utils.schemas import BaseSchema, PageQuery

TaskStatus = Literal["deferred", "queued", "sent", "started", "finished", "dead", "discarded"]


class TaskAccepted(BaseSchema):
    """What is answered when work was put off: where to ask how it goes, as `Location` says too."""

    task_id: uuid.UUID
    status_url: str


class RunResponse(BaseSchema):
    """How a piece of work stands; `error` says why its last attempt failed, `due_at` when it begins, or began."""

    id: uuid.UUID
    status: TaskStatus
    attempts: int
    error: str | None
    created_at: dt.datetime
    due_at: dt.datetime
    started_at: dt.datetime | None
    finished_at: dt.datetime | None


class TaskResponse(RunResponse):
    """A task; `progress` is what it reported last, `result` what it returned."""

    name: str
    progress: dict[str, Any] | None
    result: Any


class DeliveryResponse(RunResponse):
    """One handler that hears of an event."""

    handler: str


class EventResponse(BaseSchema):
    """Who hears of an event after its commit; the event itself stands in the audit under the same id."""

    id: uuid.UUID
    action: str
    deliveries: list[DeliveryResponse]


class DeadLetterQuery(PageQuery):
    """Which dead letters a list shows."""

    kind: Literal["delivery", "task", "refused"] | None = None
    name: Annotated[str, StringConstraints(max_length=200)] | None = None


class DeadLetterResponse(BaseSchema):
    """A delivery or a task that failed for good, or a job that was refused; `error` says why."""

    id: uuid.UUID
    kind: Literal["delivery", "task", "refused"]
    name: str
    action: str | None
    event_id: uuid.UUID | None
    actor_id: uuid.UUID | None
    request_id: str
    attempts: int
    error: str | None
    created_at: dt.datetime
    died_at: dt.datetime | None


class DeadLetterDetail(DeadLetterResponse):
    """The same with what it was to work on; values that sound like secrets are not shown."""

    version: int
    payload: dict[str, Any]
