"""The API's view of the audit."""

import datetime as dt
import uuid
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from app.utils.schemas import BaseSchema, PageQuery

Action = Annotated[str, StringConstraints(max_length=100), Field(examples=["project.created"])]


class AuditQuery(PageQuery):
    """Which entries a list shows; several conditions must all hold. `since` is included, `until` is not."""

    action: Action | None = None
    object_type: Annotated[str, StringConstraints(max_length=100)] | None = None
    object_id: uuid.UUID | None = None
    actor_id: uuid.UUID | None = None
    request_id: Annotated[str, StringConstraints(max_length=64)] | None = None
    outcome: Literal["success", "failure"] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


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
    created_at: dt.datetime
