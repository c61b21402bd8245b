"""What may be written to a log: values made short, encodable and free of secrets.

Redaction goes by name (a key that sounds like a secret) and by shape (a token, a password in an address). It
errs on the side of hiding: a harmless word beside `token:` is lost, a password never shows.
"""

import re
from collections import deque
from collections.abc import Iterable, Mapping
from datetime import date
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import UUID

REDACTED = "[redacted]"

SHORTEST_SECRET = len("token=x")
LONGEST_TEXT = 4_000
WIDEST = 50
DEEPEST = 6
MOST_VALUES = 300
LARGEST = 2**63

_SECRET_NAME = re.compile(
    r"passw|passphrase|(^|_)pwd|secret|token|authori[sz]ation|cookie|credential|jwt|(^|_)t?otp(_|$)"
    r"|(api|signing|private|access|encryption|master)_?key",
    re.IGNORECASE,
)
_WORDS = r"passw(?:or)?d|passphrase|secret|token|credentials?|(?:api|signing|private|access|encryption)[_-]?keys?"

# Repetitions that could be retried from many places are bounded: a hostile text must not cost quadratic time.
_SHAPES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?i)\bbearer\s{1,5}[^\s\"',;]+"), f"Bearer {REDACTED}"),
    (re.compile(r"(?i)\bbasic\s{1,5}[a-z0-9+/=_-]{12,}"), f"Basic {REDACTED}"),
    (re.compile(r"(?<![\w-])ey[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){0,3}"), REDACTED),
    # A JWT whose header begins as ours do, and a refresh token, also right behind a letter, as in a mangled path.
    (re.compile(r"eyJ[\w-]{8,500}\.[\w-]{4,}(?:\.[\w-]*){0,3}"), REDACTED),
    (re.compile(r"(?:(?<!\w)gp[a-z]{0,20}|gpr)_[\w-]{6,}"), REDACTED),
    (re.compile(r"(?<=://)([^/\s:@]{0,100}):[^@/\s]{1,200}@"), rf"\1:{REDACTED}@"),
    (re.compile(r"(?i)((?:authorization|cookie)[\"']?\s{0,5}[:=])[^\r\n]*"), rf"\1 {REDACTED}"),
    (
        re.compile(
            rf"(?i)((?:{_WORDS})[\w-]{{0,20}}[\"']?\s{{0,5}}[:=]\s{{0,5}})"
            r"(?:\[[^\]]{0,500}\]|\"[^\"]{0,500}\"|'[^']{0,500}'|[^\s,;&)}\]]+)"
        ),
        rf"\1{REDACTED}",
    ),
    # Texts of libraries that quote what was sent: pydantic's errors, SQLAlchemy's statements.
    (re.compile(r"input_value=.{0,1000}, input_type="), f"input_value={REDACTED}, input_type="),
    (re.compile(r"(?s)\[parameters: .{0,4000}?\](?=\s*\(|\s*$)"), f"[parameters: {REDACTED}]"),
)
_HINTS = (
    "bearer", "basic", "ey", "gp", "://", "passw", "passphrase", "secret", "token", "credential", "key",
    "authorization", "cookie", "input_value", "parameters: ",
)  # fmt: skip
# Some readers end a line at these too; orjson writes them as they are.
_LINE_ENDS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}


def is_secret(name: str) -> bool:
    """Tell whether a key of this name is likely to hold a secret."""
    return _named(name)[1]


def redact(text: str) -> str:
    """Hide what looks like a token, a key or a password inside a text."""
    if len(text) < SHORTEST_SECRET:
        return text
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def clean_text(text: str) -> str:
    """Return the text without secrets, cut to `LONGEST_TEXT` characters, and such that UTF-8 can carry it."""
    size = len(text)
    # A secret that straddles the first cut is removed by the second one.
    text = redact(text[: 2 * LONGEST_TEXT])
    if size > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}[cut: {size} characters]"
    if not text.isascii() or "\x7f" in text:
        text = text.encode("utf-8", "backslashreplace").decode("utf-8").translate(_LINE_ENDS)
    return text


def clean(values: Mapping[str, object], *, most: int = MOST_VALUES, widest: int = WIDEST) -> dict[str, object]:
    """Return the values in a form that JSON can carry, bounded in depth, width and number; never raises."""
    return _Cleaner(most, widest).mapping(values, 0)


@lru_cache(maxsize=1024)
def _named(name: str) -> tuple[str, bool]:
    """Return a key as it may be written, and whether it names a secret; most keys are few and come again."""
    return clean_text(name), _SECRET_NAME.search(name.replace("-", "_")) is not None


class _Cleaner:
    """Walks one line's values, and stops when it has seen enough of them."""

    def __init__(self, most: int, widest: int) -> None:
        """Begin with the full allowance."""
        self.left, self.widest = most, widest

    def mapping(self, values: Mapping[Any, object], depth: int) -> dict[str, object]:
        """Clean a mapping; the value of a key that sounds secret is not even looked at."""
        found: dict[str, object] = {}
        for key, value in islice(values.items(), self.widest):
            name, secret = _named(key if isinstance(key, str) else _printed(key))
            found[name] = REDACTED if secret else self.value(value, depth + 1)
        if len(values) > self.widest:
            found["[cut]"] = f"{len(values) - self.widest} more"
        return found

    def value(self, value: object, depth: int) -> object:
        """Clean one value of any kind."""
        self.left -= 1
        if self.left < 0:
            return "[cut]"
        try:
            return self._value(value, depth)
        except Exception:  # noqa: BLE001 - whatever a foreign object's methods raise: the line is written
            return f"[unprintable {type(value).__name__}]"

    def _value(self, value: object, depth: int) -> object:
        if value is None or isinstance(value, bool | float):
            return value
        if isinstance(value, int) and abs(value) < LARGEST:
            return int(value)
        if isinstance(value, Mapping | list | tuple | set | frozenset | deque):
            return self._container(value, depth)
        if isinstance(value, bytes | bytearray | memoryview):
            return f"[{len(value)} bytes]"
        # An identifier is the most frequent value of all, and cannot hold anything to hide.
        return str(value) if isinstance(value, UUID) else clean_text(_printed(value))

    def _container(self, value: Mapping[object, object] | Iterable[object], depth: int) -> object:
        if depth >= DEEPEST:
            return "[cut: too deep]"
        if isinstance(value, Mapping):
            return self.mapping(value, depth)
        items = list(islice(value, self.widest + 1))
        # A pair like ("authorization", "..."), as headers are kept.
        match items:
            case [str() | bytes() as name, _] if is_secret(_printed(name)):
                return [clean_text(_printed(name)), REDACTED]
        found = [self.value(item, depth + 1) for item in items[: self.widest]]
        return [*found, "[cut]"] if len(items) > self.widest else found


def _printed(value: object) -> str:
    """Return the text of a value: names of headers are bytes, times are ISO 8601, errors say their type."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {value}"
    return str(value)
