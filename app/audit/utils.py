"""What is stored of values, and the digests over rows and links."""

import datetime as dt
import hashlib
import json
import math
import uuid
from collections.abc import Mapping
from typing import Any

from app.extensions.redaction import clean

MOST_VALUES, WIDEST, LARGEST = 2000, 500, 65_536
"""How many values a snapshot may hold, how many each list or mapping, and the bytes of all as JSON."""

EXACT = 2**53
"""Below it a float holds every whole number."""

DIGESTED = (
    "tenant_id",
    "id",
    "action",
    "object_type",
    "object_id",
    "actor_id",
    "on_behalf_of",
    "before",
    "after",
    "outcome",
    "request_id",
    "created_at",
    "address",
)
"""The columns that an entry's digest covers: all but itself."""


def storable(snapshot: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a snapshot as it is stored: without secrets, bounded, and such that jsonb gives back what it was given.

    What sounds like a secret is hidden as it is in the log. jsonb knows one kind of number: a float without a fraction
    is stored as an integer, and a number that it would alter as text.
    """
    if snapshot is None:
        return None
    found = {_text(name): _settled(value) for name, value in clean(snapshot, most=MOST_VALUES, widest=WIDEST).items()}
    size = len(canonical(found))
    return found if size <= LARGEST else {"[cut]": f"{size} bytes"}


def canonical(value: Any) -> bytes:
    """Return JSON that is the same for the same values: keys in order, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_spelled).encode()


def entry_digest(row: Mapping[str, Any]) -> str:
    """Return the digest of an entry's columns."""
    return hashlib.sha256(canonical({name: row[name] for name in DIGESTED})).hexdigest()


def link_digest(previous: str, seq: int, entry_id: uuid.UUID, entry: str, chained_at: dt.datetime) -> str:
    """Return the digest of a link: over its own columns and, by `previous`, over every link before it."""
    line = f"{previous}\n{seq}\n{entry_id}\n{entry}\n{_spelled(chained_at)}"
    return hashlib.sha256(line.encode()).hexdigest()


def _spelled(value: uuid.UUID | dt.datetime) -> str:
    """Return an identifier or a time as text: a time in UTC, to the microsecond."""
    if isinstance(value, uuid.UUID):
        return str(value)
    return value.astimezone(dt.UTC).isoformat(timespec="microseconds")


def _settled(value: Any) -> Any:
    """Return a value that jsonb does not alter."""
    if isinstance(value, dict):
        return {_text(name): _settled(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_settled(part) for part in value]
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not (math.isfinite(value) and value % 1):
        return int(value) if abs(value) < EXACT else repr(value)
    return value


def _text(value: str) -> str:
    """Return text without NUL, which PostgreSQL does not store."""
    return value.replace("\0", "\\u0000")
