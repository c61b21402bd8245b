"""The fields of a new module: `title:str due_on:date?`."""

import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass

from app.scaffold.exceptions import ScaffoldError
from app.scaffold.words import RESERVED

DEFAULT = "name:str description:text?"
MOST, LONGEST = 30, 30
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

TAKEN = frozenset(
    {
        *("id", "tenant_id", "created_by", "created_at", "updated_at", "deleted_at", "version"),
        *("metadata", "registry", "query", "owned_by", "nullable", "copy", "dict", "json", "schema", "schema_json"),
        *("construct", "validate", "fields", "limit", "cursor", "sort", "refuse_nul", "refuse_null"),
        *("parse_obj", "parse_raw", "parse_file", "from_orm", "update_forward_refs", "self", "cls", "dt", "uuid"),
        *("str", "int", "bool"),
    }
)
"""What rows and schemas have already, what the files import, and the types of the fields beside."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of fields: as Python, as a column, as an input, and values of it as the API shows them."""

    python: str
    column: str
    input: str
    samples: tuple[str, str]
    wrong: str
    sortable: bool = False


KINDS = {
    "str": Kind("str", "sa.String()", "Name", ('"Alpha"', '"Beta"'), '""', sortable=True),
    "text": Kind("str", "sa.String()", "Text", ('"first"', '"second"'), '"x" * 10_001'),
    "int": Kind("int", "sa.Integer()", "Whole", ("7", "8"), '"seven"', sortable=True),
    "bool": Kind("bool", "sa.Boolean()", "StrictBool", ("True", "False"), '"perhaps"'),
    "date": Kind("dt.date", "sa.Date()", "Day", ('"2026-01-02"', '"2026-03-04"'), '"tomorrow"', sortable=True),
    "datetime": Kind(
        "dt.datetime",
        "sa.DateTime(timezone=True)",
        "Moment",
        ('"2026-01-02T03:04:05Z"', '"2026-03-04T05:06:07Z"'),
        '"2026-01-02T03:04:05"',
        sortable=True,
    ),
    "uuid": Kind(
        "uuid.UUID",
        "sa.Uuid()",
        "uuid.UUID",
        ('"01890a5d-ac96-774b-bcce-b302099a8057"', '"01890a5d-ac96-774b-bcce-b302099a8058"'),
        '"seven"',
    ),
    "email": Kind(
        "str", "sa.String()", "EmailAddress", ('"anna@example.com"', '"bert@example.com"'), '"nobody"', sortable=True
    ),
}
"""The types that a definition can name."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field; an optional text is empty where it is left out, anything else that is optional may be null."""

    name: str
    type: str
    optional: bool

    @property
    def kind(self) -> Kind:
        """Return the type."""
        return KINDS[self.type]

    @property
    def nullable(self) -> bool:
        """Tell whether it may be null."""
        return self.optional and self.type != "text"

    @property
    def sortable(self) -> bool:
        """Tell whether a list can be sorted by it: cursors need a value."""
        return self.kind.sortable and not self.optional

    @property
    def shown(self) -> str:
        """Return its type in rows and answers."""
        return f"{self.kind.python} | None" if self.nullable else self.kind.python

    @property
    def created(self) -> str:
        """Return its line in what a new one needs, after the name."""
        if self.nullable:
            return f"{self.kind.input} | None = None"
        return f'{self.kind.input} = ""' if self.optional else self.kind.input

    @property
    def changed(self) -> str:
        """Return its line in what can be changed, after the name."""
        return f"{self.kind.input} | {'None' if self.nullable else 'Unset'} = None"


def read_fields(text: str) -> list[Field]:
    """Return the fields of a definition, separated by spaces or commas; raises `ScaffoldError` for a bad one."""
    words = text.replace(",", " ").split()
    if not words:
        raise ScaffoldError("a module needs a field at least: --fields 'name:str'")
    if len(words) > MOST:
        raise ScaffoldError(f"{len(words)} fields are too many to begin with: at most {MOST}")
    found = [read_field(word) for word in words]
    refuse_doubles([field.name for field in found])
    if all(field.optional for field in found):
        raise ScaffoldError("one field at least must not be optional: leave out a question mark")
    return found


def read_field(word: str) -> Field:
    """Return one field of the form `name:type` or `name:type?`."""
    name, colon, kind = word.partition(":")
    optional, kind = kind.endswith("?"), kind.removesuffix("?")
    if not colon or not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ScaffoldError(
            f"{word!r} is no field: write name:type, or name:type? for an optional one; a name is of lower-case"
            f" letters, digits and single underscores, at most {LONGEST}"
        )
    if kind not in KINDS:
        raise ScaffoldError(f"{word!r} has no type that there is: choose among {', '.join(KINDS)}")
    if name in RESERVED:
        raise ScaffoldError(f"{name} is reserved in SQL: a field cannot be called so")
    if keyword.iskeyword(name):
        raise ScaffoldError(f"{name} is a keyword of Python: a field cannot be called so")
    if name in TAKEN or name.startswith("model_"):
        raise ScaffoldError(f"{name} is taken: every row or schema has something of that name")
    return Field(name, kind, optional)


def refuse_doubles(names: Sequence[str]) -> None:
    """Raise for a name that stands twice."""
    for name in names:
        if names.count(name) > 1:
            raise ScaffoldError(f"{name} is defined twice")
