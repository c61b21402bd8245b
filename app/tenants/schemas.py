"""The API's view of tenants."""

import datetime as dt
import uuid

from app.utils.schemas import BaseSchema, InputSchema, Name


class TenantCreate(InputSchema):
    """What a new tenant needs."""

    name: Name


class TenantResponse(BaseSchema):
    """A tenant, as its members see it."""

    id: uuid.UUID
    name: str
    created_at: dt.datetime
    updated_at: dt.datetime


class MemberResponse(BaseSchema):
    """A member of the selected tenant."""

    user_id: uuid.UUID
    email: str
    full_name: str
    role: str
    created_at: dt.datetime
