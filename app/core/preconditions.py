"""ETag and If-Match by version (RFC 9110, 8.8.3 and 13.1.1)."""

import re
from typing import Any

from app.exceptions import BadRequestError, PreconditionFailedError

Tags = frozenset[str] | None
"""The entity tags that a change may go on with; None for any."""

TAG = r'(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"'
PLAIN_LIST = r'^(\*|(W/)?"[!#-~]*"(, ?(W/)?"[!#-~]*")*)$'
"""What the document says of If-Match: the spellings that every client can send."""

LIST = rf"\s*{TAG}(?:\s*,\s*{TAG})*\s*"


def etag(version: int) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def with_etag(status: int = 200) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an operation whose answer brings the version as its entity tag."""
    header = {
        "description": "the version, for If-Match",
        "required": True,
        "schema": {"type": "string", "pattern": TAG},
    }
    return {status: {"headers": {"ETag": header}}}


def read_tags(value: str | None) -> Tags:
    """Return the tags of an If-Match header; raise `BadRequestError` for what is no list of tags."""
    if value is None or value.strip() == "*":
        return None
    if not re.fullmatch(LIST, value):
        raise BadRequestError("If-Match must be * or a list of quoted entity tags.")
    return frozenset(re.findall(TAG, value))


def refuse_stale(version: int, expected: Tags) -> None:
    """Raise `PreconditionFailedError` unless the version is among the expected ones.

    The comparison is the strong one: a weak tag (`W/"1"`) never matches.
    """
    if expected is not None and etag(version) not in expected:
        raise PreconditionFailedError
