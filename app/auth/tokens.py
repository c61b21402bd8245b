"""Tokens: signed access tokens, and refresh tokens of which only a hash is kept."""

import base64
import datetime as dt
import hashlib
import hmac
import secrets
import uuid
from dataclasses import dataclass

import jwt

from app.config import settings
from app.exceptions import UnauthenticatedError
from app.utils.helpers import canonical_uuid, utcnow

ALGORITHM = "HS256"
TYPE = "at+jwt"
CONSOLE_TYPE = "console+jwt"
REFRESH_PREFIX = "gpr_"
"""Refresh tokens begin so, that secret scanners and our own logs know them."""


@dataclass(frozen=True, slots=True)
class AccessClaim:
    """What a token says: who, and by which session. Never what they may do."""

    user_id: uuid.UUID
    session_id: uuid.UUID


def key_id(key: str) -> str:
    """Return the `kid` of a signing key: the start of its SHA-256."""
    return hashlib.sha256(key.encode()).hexdigest()[:16]


def signing_keys() -> dict[str, str]:
    """Return the keys by `kid`; the first one signs."""
    keys = [key.get_secret_value() for key in settings.need("auth.signing_keys")]
    return {key_id(key): key for key in keys}


def issue_access(user_id: uuid.UUID, session_id: uuid.UUID) -> str:
    """Return an access token (RFC 9068) that lives `auth.access_token_seconds`."""
    return signed(TYPE, user_id, session_id, settings.auth.access_token_seconds)


def issue_console(user_id: uuid.UUID, session_id: uuid.UUID) -> str:
    """Return what the console's cookie holds; no operation of the API takes it, and it lives `auth.console_seconds`."""
    return signed(CONSOLE_TYPE, user_id, session_id, settings.auth.console_seconds)


def signed(kind: str, user_id: uuid.UUID, session_id: uuid.UUID, seconds: int) -> str:
    """Return a token of a kind, signed by the first key."""
    kid, key = next(iter(signing_keys().items()))
    now = utcnow()
    claims = {
        "iss": settings.auth.issuer,
        "aud": settings.auth.audience,
        "sub": str(user_id),
        "sid": str(session_id),
        "iat": now,
        "exp": now + dt.timedelta(seconds=seconds),
    }
    return jwt.encode(claims, key, ALGORITHM, headers={"typ": kind, "kid": kid})


def read_access(token: str) -> AccessClaim:
    """Return what an access token claims; raise `UnauthenticatedError` for any other token."""
    return read(TYPE, token)


def read_console(token: str) -> AccessClaim:
    """Return what the console's cookie claims; raise `UnauthenticatedError` for any other token."""
    return read(CONSOLE_TYPE, token)


def read(kind: str, token: str) -> AccessClaim:
    """Return what a token claims; raise `UnauthenticatedError` for any that this application did not just issue.

    Fixed algorithm, known `kid`, exact type, issuer and audience, all claims present: nothing in the token chooses how
    it is verified.
    """
    try:
        header = jwt.get_unverified_header(token)
        if header.get("typ") != kind or set(header) != {"typ", "kid", "alg"}:
            raise UnauthenticatedError
        claims = jwt.decode(
            token,
            signing_keys()[header["kid"]],
            algorithms=[ALGORITHM],
            issuer=settings.auth.issuer,
            audience=settings.auth.audience,
            options={"require": ["exp", "iat", "iss", "aud", "sub", "sid"], "strict_aud": True},
        )
        user_id, session_id = canonical_uuid(claims["sub"]), canonical_uuid(claims["sid"])
    except (jwt.InvalidTokenError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnauthenticatedError from error
    if user_id is None or session_id is None:
        raise UnauthenticatedError
    return AccessClaim(user_id, session_id)


def new_refresh() -> str:
    """Return a fresh refresh token: 256 random bits."""
    return REFRESH_PREFIX + secrets.token_urlsafe(32)


def successor(token: str, nonce: bytes) -> str:
    """Return the token that follows; the same for the same token and nonce, and nobody's to compute without both."""
    digest = hmac.new(token.encode(), nonce, hashlib.sha256).digest()
    return REFRESH_PREFIX + base64.urlsafe_b64encode(digest).decode().rstrip("=")
