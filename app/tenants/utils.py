"""Tokens that carry their tenant's id, so that they are looked up under that tenant's policies."""

import base64
import binascii
import secrets
import uuid
import zlib
from dataclasses import dataclass

from app.utils.helpers import token_hash

INVITATION_PREFIX = "gpi_"
API_KEY_PREFIX = "gpk_"
"""Tokens begin so, that secret scanners find them."""

LENGTH = 52


@dataclass(frozen=True, slots=True)
class TenantToken:
    """What a token says: its tenant, and the SHA-256 by which it is looked up there."""

    tenant_id: uuid.UUID
    token_hash: bytes


def new_token(prefix: str, tenant_id: uuid.UUID) -> str:
    """Return a fresh token: the prefix, then tenant id, 256 random bits and a CRC-32 of both, as base64url.

    By the checksum a scanner knows a token from text that only looks like one.
    """
    body = tenant_id.bytes + secrets.token_bytes(32)
    return prefix + base64.urlsafe_b64encode(body + zlib.crc32(body).to_bytes(4)).decode().rstrip("=")


def read_token(prefix: str, token: str) -> TenantToken | None:
    """Return what a token says, or None for what `new_token` never made with this prefix."""
    text = token.removeprefix(prefix)
    if text == token or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    body, checksum = raw[:-4], raw[-4:]
    if len(raw) != LENGTH or zlib.crc32(body).to_bytes(4) != checksum:
        return None
    return TenantToken(uuid.UUID(bytes=body[:16]), token_hash(token))
