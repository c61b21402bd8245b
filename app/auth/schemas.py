"""The API's view of signing in."""

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr
from pydantic_core import PydanticKnownError

from app.auth.passwords import normal_form
from app.auth.policy import LONGEST_PASSWORD, SHORTEST_PASSWORD
from app.tenants.schemas import TenantResponse
from app.users.schemas import EmailAddress, UserResponse
from app.utils.schemas import BaseSchema, InputSchema, Name, SecretResponse

LONGEST_TOKEN = 2000
"""Longer than any of ours: who sends the access token in place of another one is told that it is none."""

LONGEST_SPELLING = 4 * LONGEST_PASSWORD
"""How many characters a password may be sent as: a letter and its accents are several, and one in the normal form."""


def refuse_length(length: int, shortest: int, longest: int) -> None:
    """Raise for a number of characters outside the bounds; pydantic's own check of a secret speaks of items."""
    if length < shortest:
        raise PydanticKnownError("string_too_short", {"min_length": shortest})
    if length > longest:
        raise PydanticKnownError("string_too_long", {"max_length": longest})


def bounded_password(shortest: int) -> Callable[[SecretStr], SecretStr]:
    """Return what brings a password into its normal form, in which its characters are counted."""

    def check(value: SecretStr) -> SecretStr:
        given = value.get_secret_value()
        refuse_length(len(given), 1, LONGEST_SPELLING)
        normal = normal_form(given)
        refuse_length(len(normal), shortest, LONGEST_PASSWORD)
        return SecretStr(normal)

    return check


def bounded_token(value: SecretStr) -> SecretStr:
    """Return a token that is short enough to be looked up."""
    refuse_length(len(value.get_secret_value()), 1, LONGEST_TOKEN)
    return value


NewPassword = Annotated[
    SecretStr,
    AfterValidator(bounded_password(SHORTEST_PASSWORD)),
    Field(json_schema_extra={"minLength": SHORTEST_PASSWORD, "maxLength": LONGEST_PASSWORD}),
]
"""A password to be set; whether it is easy to guess is asked later, with what is known of the person."""

GivenPassword = Annotated[
    SecretStr,
    AfterValidator(bounded_password(1)),
    Field(json_schema_extra={"minLength": 1, "maxLength": LONGEST_PASSWORD}),
]
"""A password to be verified: older ones may be shorter than new ones have to be."""

Token = Annotated[
    SecretStr, AfterValidator(bounded_token), Field(json_schema_extra={"minLength": 1, "maxLength": LONGEST_TOKEN})
]


class RegisterRequest(InputSchema):
    """A new person and their first tenant."""

    email: EmailAddress
    password: NewPassword
    full_name: Name
    tenant_name: Name


class RegisterResponse(BaseSchema):
    """Who and what was created."""

    user: UserResponse
    tenant: TenantResponse


class LoginRequest(InputSchema):
    """An e-mail address and its password."""

    email: EmailAddress
    password: GivenPassword


class TokenForm(InputSchema):
    """The form of OAuth 2's password grant (RFC 6749, 4.3.2); the address is called `username` there.

    What else a client sends (scope, client_id) is ignored, as the standard asks.
    """

    model_config = ConfigDict(extra="ignore")

    grant_type: Literal["password"]
    username: EmailAddress
    password: GivenPassword


class RefreshRequest(InputSchema):
    """A refresh token."""

    refresh_token: Token


class InvitationAccept(InputSchema):
    """The token of an invitation; name and password only where the invited address has no account yet."""

    token: Token
    full_name: Name | None = None
    password: NewPassword | None = None


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


class SessionResponse(BaseSchema):
    """A signed-in device: since when, when it last refreshed, and what it said of itself when it signed in."""

    id: uuid.UUID
    created_at: dt.datetime
    last_used_at: dt.datetime
    expires_at: dt.datetime
    user_agent: str
    address: str
    current: bool


class PasswordChange(InputSchema):
    """The present password and the next one."""

    current_password: GivenPassword
    new_password: NewPassword


class PasswordForgotten(InputSchema):
    """Where the link shall be sent to."""

    email: EmailAddress


class PasswordReset(InputSchema):
    """The token of a link, and the next password."""

    token: Token
    new_password: NewPassword


class LinkToken(InputSchema):
    """The token of a link."""

    token: Token
