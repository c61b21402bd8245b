"""The API's view of notices."""

import datetime as dt
import uuid

from app.utils.schemas import BaseSchema


class NotificationResponse(BaseSchema):
    """A notice; `kind` reads `object.verb`, as in `project.created`."""

    id: uuid.UUID
    kind: str
    object_id: uuid.UUID
    title: str
    created_at: dt.datetime
    read_at: dt.datetime | None
