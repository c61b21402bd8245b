"""Validation errors for clients: where and why, never what was sent.

Pydantic's errors carry the input, and some of its messages quote it. A password in a field of the wrong type
would come back in the answer, and rest in every log on the way.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, get_args

from pydantic import BaseModel, Field
from pydantic_core.core_schema import ErrorType

MOST_FAULTS = 100
LONGEST_MESSAGE = 300
MOST_LEAVES = 200
SHORT_LEAF = 3
DEEPEST = 8

UNSAID = "The value is not valid"

# Pydantic's own messages that quote the input, or a library's text about it; the others are made of the
# schema.
_MESSAGES = {
    "assertion_error": UNSAID,
    "base64_decode": "Input should be valid base64",
    "get_attribute_error": UNSAID,
    "import_error": UNSAID,
    "iteration_error": UNSAID,
    "json_invalid": "Input should be valid JSON",
    "mapping_type": "Input should be a valid mapping",
    "timezone_offset": "Input should have the required offset from UTC",
    "union_tag_invalid": "Input tag should be one of the expected tags",
    "url_parsing": "Input should be a valid URL",
    "url_syntax_violation": "Input should be a valid URL",
    "uuid_parsing": "Input should be a valid UUID",
    "zoneinfo_str": "Input should be a valid time zone",
}
_EMAIL = "value is not a valid email address"
_KNOWN = frozenset(get_args(ErrorType)) - {"value_error"}
# Names of fields. Parts of a schema (`function-after[...]`) and keys that are no names say nothing to a
# client.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}|\[key\]")


class Fault(BaseModel):
    """One value that was refused."""

    loc: list[str | int] = Field(description="Where: body, path, query or header, then names and indices.")
    msg: str = Field(description="Why, for people; never the value itself.")
    type: str = Field(description="Why, for programs.")


def safe_faults(errors: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the first errors of a validation in the form of `Fault`: no input, no context, no links."""
    return [
        {
            "loc": [_place(part) for part in error.get("loc", ())],
            "msg": _message(error),
            "type": _encodable(str(error.get("type", "value_error"))),
        }
        for error in errors[:MOST_FAULTS]
    ]


def _place(part: object) -> str | int:
    """Return one step of the way to a value; a key that is no name becomes a question mark."""
    if isinstance(part, int):
        return part
    return part if isinstance(part, str) and _NAME.fullmatch(part) else "?"


def _message(error: Mapping[str, Any]) -> str:
    """Return why a value was refused; a message of unknown origin only if it does not quote the value."""
    kind, text = str(error.get("type", "")), str(error.get("msg", ""))
    if kind in _MESSAGES:
        return _MESSAGES[kind]
    if text.startswith(_EMAIL):
        return "Input should be a valid e-mail address"
    text = text.removeprefix("Value error, ")
    if kind not in _KNOWN and _quotes(text, error.get("input")):
        return UNSAID
    return _encodable(text)[:LONGEST_MESSAGE]


def _quotes(text: str, value: object) -> bool:
    """Tell whether a message contains something of a value: a word of it, in whatever case."""
    lowered = text.lower()
    for leaf in islice(_leaves(value), MOST_LEAVES):
        word = re.escape(leaf.strip().lower())
        # A short value is part of many words; only where it stands alone is it quoted.
        if word and re.search(word if len(leaf) > SHORT_LEAF else rf"(?<!\w){word}(?!\w)", lowered):
            return True
    return False


def _leaves(value: object, depth: int = 0) -> Iterator[str]:
    """Yield the texts and numbers in a value, keys included."""
    if isinstance(value, Mapping):
        inner: Iterable[object] = (part for pair in value.items() for part in pair)
    elif isinstance(value, list | tuple | set | frozenset):
        inner = value
    elif isinstance(value, bool) or value is None:
        return
    else:
        yield value.decode("latin-1") if isinstance(value, bytes) else str(value)
        return
    if depth < DEEPEST:
        for part in inner:
            yield from _leaves(part, depth + 1)


def _encodable(text: str) -> str:
    """Return the text such that UTF-8 can carry it."""
    return text.encode("utf-8", "replace").decode("utf-8")
