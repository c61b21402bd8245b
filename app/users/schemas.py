"""The API's view of people."""

import datetime as dt
import uuid
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.utils.schemas import BaseSchema, Name, PageQuery, PatchSchema, Unset


def normal_email(value: str) -> str:
    """Return an address in the one form in which it is stored and compared: NFC, lower case."""
    try:
        found = validate_email(value, strict=True, check_deliverability=False, test_environment=True)
    except EmailNotValidError as error:
        raise PydanticCustomError("email", "This is not a valid e-mail address") from error
    return found.normalized.lower()


EmailAddress = Annotated[
    str,
    StringConstraints(max_length=320),
    AfterValidator(normal_email),
    Field(json_schema_extra={"format": "email"}),
]


class UserResponse(BaseSchema):
    """A person, as they see themselves."""

    id: uuid.UUID
    email: str
    full_name: str


class OwnMembershipResponse(BaseSchema):
    """One of the caller's tenants, and the caller's role there."""

    tenant_id: uuid.UUID
    tenant_name: str
    role: str


class MeResponse(UserResponse):
    """The caller, with every tenant they are a member of."""

    email_verified: bool
    is_superuser: bool
    memberships: list[OwnMembershipResponse]


class UserQuery(PageQuery):
    """Which people a superuser looks for: by a part of the address or of the name."""

    search: Annotated[str, StringConstraints(max_length=200)] | None = None


class UserOverview(UserResponse):
    """A person, as superusers see them."""

    is_superuser: bool
    disabled_at: dt.datetime | None
    created_at: dt.datetime


class MeUpdate(PatchSchema):
    """What somebody may change about themselves."""

    full_name: Name | Unset = None
