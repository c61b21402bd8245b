"""The API's view of signing in."""

import uuid

from pydantic import Field, SecretStr

from app.tenants.schemas import TenantResponse
from app.users.schemas import EmailAddress, UserResponse
from app.utils.schemas import BaseSchema, InputSchema, Name, SecretResponse

SHORTEST_PASSWORD = 8
LONGEST_PASSWORD = 256


class RegisterRequest(InputSchema):
    """A new person and their first tenant."""

    email: EmailAddress
    password: SecretStr = Field(min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)
    full_name: Name
    tenant_name: Name


class RegisterResponse(BaseSchema):
    """Who and what was created."""

    user: UserResponse
    tenant: TenantResponse


class LoginRequest(InputSchema):
    """An e-mail address and its password."""

    email: EmailAddress
    password: SecretStr = Field(min_length=1, max_length=LONGEST_PASSWORD)


class RefreshRequest(InputSchema):
    """A refresh token. Longer than any is allowed: who sends the access token in its place is told that it is none."""

    refresh_token: SecretStr = Field(min_length=1, max_length=2000)


class InvitationAccept(InputSchema):
    """The token of an invitation; name and password only where the invited address has no account yet."""

    token: SecretStr = Field(min_length=1, max_length=2000)
    full_name: Name | None = None
    password: SecretStr | None = Field(None, min_length=SHORTEST_PASSWORD, max_length=LONGEST_PASSWORD)


class InvitationAccepted(BaseSchema):
    """The place that was offered: who has it now, where, and in which role."""

    tenant_id: uuid.UUID
    user_id: uuid.UUID
    role: str


class TokenResponse(SecretResponse):
    """The tokens of a session; `expires_in` is the access token's life in seconds."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - RFC 6750's name of the kind
    expires_in: int
