"""Identifiers, time, and the heap."""

import datetime as dt
import gc
import hashlib
import os
import time
import uuid


def uuid7() -> uuid.UUID:
    """Return a time-ordered identifier (RFC 9562, version 7: 48 bits of milliseconds, 74 random bits)."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)


def utcnow() -> dt.datetime:
    """Return the present as an aware UTC datetime."""
    return dt.datetime.now(dt.UTC)


def canonical_uuid(text: str) -> uuid.UUID | None:
    """Return the identifier, or None unless it is spelled canonically: lower case, dashes, no braces."""
    try:
        found = uuid.UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def token_hash(token: str) -> bytes:
    """Return what is stored of a token: it holds 256 random bits, so one SHA-256 is enough."""
    return hashlib.sha256(token.encode()).digest()


def spare_loaded_objects() -> None:
    """Leave what the process has loaded out of every further garbage collection; call it once, before it serves.

    Modules and their classes never become garbage, and a full collection that looks through them all stops the process
    for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
