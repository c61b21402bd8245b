"""What the headers of a request claim, verified as far as the database is not needed."""

import uuid
from dataclasses import dataclass

from fastapi import Request

from app.auth.exceptions import KeyNotAcceptedError, TenantHeaderError, TenantNotFoundError
from app.auth.tokens import read_access
from app.core.permissions import Access
from app.exceptions import UnauthenticatedError
from app.tenants.utils import API_KEY_PREFIX, read_token
from app.utils.helpers import canonical_uuid


@dataclass(frozen=True, slots=True)
class Claim:
    """Who says to be calling, by a session or a key, and for which tenant; the log names who was refused by it."""

    actor_id: uuid.UUID | None = None
    session_id: uuid.UUID | None = None
    tenant_id: uuid.UUID | None = None
    key_hash: bytes | None = None

    @property
    def key_id(self) -> uuid.UUID | None:
        """What calls by an API key are counted under: a part of the hash, since the key's own id is not known yet."""
        return uuid.UUID(bytes=self.key_hash[:16]) if self.key_hash else None


def read_claim(request: Request, access: Access) -> Claim:
    """Read the headers of a request to an operation.

    401 without a valid access token or key, 400 without one canonical tenant where one is needed; a key names its
    tenant itself, so the header may be left out. An open operation looks at nothing.
    """
    if access.open:
        return Claim()
    token = bearer_token(request)
    if token.startswith(API_KEY_PREFIX):
        return read_key(request, access, token)
    claim = read_access(token)
    return Claim(claim.user_id, claim.session_id, selected_tenant(request) if access.needs_tenant else None)


def read_key(request: Request, access: Access, token: str) -> Claim:
    """Return the claim of an API key.

    Raises `UnauthenticatedError` for what is no key, `KeyNotAcceptedError` where a person is needed, and
    `TenantNotFoundError` when the header names another tenant than the key's.
    """
    key = read_token(API_KEY_PREFIX, token)
    if key is None:
        raise UnauthenticatedError
    if not access.needs_tenant:
        raise KeyNotAcceptedError
    if "x-tenant-id" in request.headers and selected_tenant(request) != key.tenant_id:
        raise TenantNotFoundError
    return Claim(tenant_id=key.tenant_id, key_hash=key.token_hash)


def bearer_token(request: Request) -> str:
    """Return the one bearer token (RFC 6750); raise `UnauthenticatedError` for none, two, or another scheme."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError
    return token


def selected_tenant(request: Request) -> uuid.UUID:
    """Return the one tenant that X-Tenant-ID names; raise `TenantHeaderError` unless it is canonical."""
    given = request.headers.getlist("x-tenant-id")
    found = canonical_uuid(given[0]) if len(given) == 1 else None
    if found is None:
        raise TenantHeaderError
    return found
