"""The API's view of notices."""

import datetime as dt
import uuid

from pydantic import Field, StrictBool

from app.utils.schemas import BaseSchema, PageQuery, PatchSchema, Unset


class NotificationResponse(BaseSchema):
    """A notice; `kind` reads `object.verb`, as in `project.created`."""

    id: uuid.UUID
    kind: str
    object_id: uuid.UUID
    title: str
    created_at: dt.datetime
    read_at: dt.datetime | None


class NotificationQuery(PageQuery):
    """Which notices a list shows."""

    unread: bool = Field(default=False, description="only those that are not read yet")


class PreferencesResponse(BaseSchema):
    """How a member is told of news in this tenant: by notices in the app, by mails, by both or not at all."""

    in_app: bool = True
    email: bool = False


class PreferencesUpdate(PatchSchema):
    """What can be changed; fields that are left out stay as they are."""

    in_app: StrictBool | Unset = None
    email: StrictBool | Unset = None
