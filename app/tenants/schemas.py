"""The API's view of tenants and of those who act in them."""

import datetime as dt
import uuid
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from app.core.permissions import ModuleName, PermissionName
from app.users.schemas import EmailAddress
from app.utils.schemas import BaseSchema, InputSchema, Name, PageQuery, PatchSchema, SecretResponse, Unset

RoleName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9._:-]{0,63}$")]
ExistingRole = Annotated[RoleName, Field(examples=["viewer"])]
Description = Annotated[str, StringConstraints(max_length=1000)]
Permissions = Annotated[list[PermissionName], Field(max_length=500)]

LONGEST_KEY_DAYS = 366
LONGEST_OVERLAP = 86_400


class TenantCreate(InputSchema):
    """What a new tenant needs."""

    name: Name


class TenantUpdate(PatchSchema):
    """What can be changed; fields that are left out stay as they are."""

    name: Name | Unset = None
    disabled_modules: Annotated[list[ModuleName], Field(max_length=100)] | Unset = None


class TenantResponse(BaseSchema):
    """A tenant, as its members see it; `version` counts its changes and is its ETag."""

    id: uuid.UUID
    name: str
    status: Literal["active", "suspended", "deleted"]
    disabled_modules: list[str]
    version: int
    created_at: dt.datetime
    updated_at: dt.datetime


class TransferRequest(InputSchema):
    """Which member becomes an owner in the caller's place."""

    user_id: uuid.UUID


class MemberUpdate(InputSchema):
    """A member's new role, by its name."""

    role: ExistingRole


class MemberResponse(BaseSchema):
    """A member of the selected tenant."""

    user_id: uuid.UUID
    email: str
    full_name: str
    role: str
    created_at: dt.datetime


class InvitationCreate(InputSchema):
    """Who is invited, and to which role."""

    email: EmailAddress
    role: ExistingRole


class InvitationResponse(BaseSchema):
    """An invitation that is still open; its token is in the mail alone."""

    id: uuid.UUID
    email: str
    role: str
    invited_by: uuid.UUID
    created_at: dt.datetime
    expires_at: dt.datetime


class RoleCreate(InputSchema):
    """A new role of the tenant's own; its name never changes."""

    name: RoleName
    description: Description = ""
    permissions: Permissions


class RoleUpdate(PatchSchema):
    """What can be changed of a role; it counts from each member's next request on."""

    description: Description | Unset = None
    permissions: Permissions | Unset = None


class RoleResponse(BaseSchema):
    """A role; the built-in four have no id, and cannot be changed."""

    id: uuid.UUID | None
    name: str
    description: str
    permissions: list[str]
    built_in: bool = False


class ServiceAccountCreate(InputSchema):
    """What a new service account needs."""

    name: Name


class ServiceAccountResponse(BaseSchema):
    """A program that acts in the tenant by its keys."""

    id: uuid.UUID
    name: str
    created_by: uuid.UUID
    created_at: dt.datetime


class ApiKeyCreate(InputSchema):
    """What a new key may do, at most what its maker may do, and for how long.

    With `service_account_id` it acts as that account, else as its maker.
    """

    name: Name
    permissions: Annotated[list[PermissionName], Field(min_length=1, max_length=500)]
    service_account_id: uuid.UUID | None = None
    expires_in_days: int = Field(90, ge=1, le=LONGEST_KEY_DAYS, strict=True)


class ApiKeyRotate(InputSchema):
    """How many seconds the old secret is still accepted beside the new one."""

    overlap_seconds: int = Field(0, ge=0, le=LONGEST_OVERLAP, strict=True)


class ApiKeyResponse(BaseSchema):
    """A key, without its secret; `last_used_at` is exact to five minutes."""

    id: uuid.UUID
    name: str
    permissions: list[str]
    service_account_id: uuid.UUID | None
    created_by: uuid.UUID
    created_at: dt.datetime
    expires_at: dt.datetime
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None


class ApiKeySecret(SecretResponse, ApiKeyResponse):
    """A key with its secret: shown this once, and stored nowhere."""

    key: str


class TenantQuery(PageQuery):
    """Which tenants a superuser looks for: by a part of the name."""

    search: Annotated[str, StringConstraints(max_length=200)] | None = None
