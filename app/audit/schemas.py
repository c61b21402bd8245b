"""The API's view of the audit."""

import datetime as dt
import re
import uuid
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.utils.schemas import BaseSchema, InputSchema, PageQuery

Action = Annotated[str, StringConstraints(max_length=100), Field(examples=["project.created"])]

WRITTEN = r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
"""A date and time as RFC 3339 has it."""


FIRST, LAST = dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)


def as_written(value: object) -> object:
    """Raise for text that is no date and time with its zone: pydantic would take seconds since 1970 too."""
    if isinstance(value, str) and not re.fullmatch(WRITTEN, value):
        raise PydanticCustomError("moment", "Write a date and time with its zone, as 2026-01-02T03:04:05Z")
    return value


def within_time(value: dt.datetime) -> dt.datetime:
    """Return the moment in UTC; one before or after all that can be written there is the first or the last."""
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        return FIRST if value.year == 1 else LAST


Moment = Annotated[AwareDatetime, BeforeValidator(as_written), AfterValidator(within_time)]


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
