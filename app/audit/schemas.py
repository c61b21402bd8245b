"""The API's view of the audit."""

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from app.utils.fields import Moment
from app.utils.schemas import BaseSchema, InputSchema, PageQuery

Action = Annotated[str, StringConstraints(max_length=100), Field(examples=["project.created"])]


class AuditFilter(InputSchema):
    """Which entries are shown; several conditions must all hold. `since` is included, `until` is not."""

    action: Action | None = None
    object_type: Annotated[str, StringConstraints(max_length=100)] | None = None
    object_id: uuid.UUID | None = None
    actor_id: uuid.UUID | None = None
    request_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    outcome: Literal["success", "failure", "denied"] | None = None
    since: Moment | None = None
    until: Moment | None = None


class AuditQuery(AuditFilter, PageQuery):
    """Which entries a list shows, a page at a time."""


class AuditEntryResponse(BaseSchema):
    """One thing that somebody did, or tried to do; `before` and `after` show the columns that changed."""

    id: uuid.UUID
    action: str
    object_type: str
    object_id: uuid.UUID | None
    actor_id: uuid.UUID | None
    on_behalf_of: uuid.UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    outcome: str
    request_id: str
    address: str
    created_at: dt.datetime
