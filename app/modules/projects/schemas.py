"""The API's view of projects."""

import datetime as dt
import uuid
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import StringConstraints

from app.utils.schemas import BaseSchema, InputSchema, Name, PageQuery, PatchSchema, Unset

Description = Annotated[str, StringConstraints(max_length=10_000)]


class ProjectStatus(StrEnum):
    """Where a project stands."""

    active = "active"
    archived = "archived"


class ProjectCreate(InputSchema):
    """What a new project needs."""

    name: Name
    description: Description = ""


class ProjectUpdate(PatchSchema):
    """What can be changed; fields that are left out stay as they are."""

    name: Name | Unset = None
    description: Description | Unset = None
    status: ProjectStatus | Unset = None


class ProjectQuery(PageQuery):
    """Which projects a list shows, and in which order; a minus means descending."""

    sort: Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"] = "-created_at"
    status: ProjectStatus | None = None


class ProjectResponse(BaseSchema):
    """A project; `version` counts its changes and is its ETag."""

    id: uuid.UUID
    name: str
    description: str
    status: ProjectStatus
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime


class ProjectExport(InputSchema):
    """Which projects an export holds: all that are not deleted, unless it says more."""

    status: ProjectStatus | None = None


class AttachmentCreate(InputSchema):
    """Which file is to be attached."""

    file_id: uuid.UUID


class ExportResult(BaseSchema):
    """What an export's task returns: where the file is, how many projects it holds, and its bytes."""

    file: str
    count: int
    size: int
