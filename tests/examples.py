"""Requests that fit the OpenAPI document: every operation, and values for its path, its query and its body."""

import itertools
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.routes import PREFIX

Schema = Mapping[str, Any]

FORMATS: dict[str, Callable[[], str]] = {
    "uuid": lambda: str(uuid.uuid4()),
    "email": lambda: f"{uuid.uuid4().hex}@example.com",
    "date": lambda: "2026-01-02",
    "date-time": lambda: "2026-01-02T03:04:05Z",
    "uri": lambda: "https://example.com/",
}


@dataclass(frozen=True)
class Operation:
    """One operation of a document; `path` is without the prefix."""

    method: str
    path: str
    access: str
    parameters: tuple[Schema, ...]
    body: Schema | None
    components: Schema
    form: Schema | None = None
    successes: frozenset[str] = frozenset()
    """The statuses of good answers that it declares."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def needs_tenant(self) -> bool:
        """Tell whether it asks for a permission in the selected tenant."""
        return self.access not in {"open", "authenticated", "superuser"}

    @property
    def is_read(self) -> bool:
        """Tell whether it only shows something."""
        return self.method == "GET"

    @property
    def creates(self) -> bool:
        """Tell whether it makes a thing of the tenant out of a body alone."""
        return "201" in self.successes and self.needs_tenant and "{" not in self.path

    def named(self, place: str) -> dict[str, Schema]:
        """Return the schemas of the parameters that stand in `path`, `query` or `header`."""
        return {one["name"]: one["schema"] for one in self.parameters if one["in"] == place}

    def request(self, examples: "Examples", path: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the arguments of a call that is right in form; what `path` leaves out is an example."""
        values = {name: examples.value(schema) for name, schema in self.named("path").items()} | dict(path or {})
        needed = [one for one in self.parameters if one["in"] == "query" and one.get("required")]
        found = {
            "method": self.method,
            "path": self.path.format(**values),
            "params": {one["name"]: examples.value(one["schema"]) for one in needed},
        }
        bodies = {"json": self.body, "data": self.form}
        return found | {kind: examples.value(schema) for kind, schema in bodies.items() if schema is not None}


def operations_of(document: Schema) -> list[Operation]:
    """Return every operation, in the order of the document."""
    return [
        Operation(
            method.upper(),
            path.removeprefix(PREFIX),
            one["x-access"],
            tuple(one.get("parameters", ())),
            body_of(one, "application/json"),
            document["components"]["schemas"],
            body_of(one, "application/x-www-form-urlencoded"),
            frozenset(status for status in one["responses"] if status.startswith("2")),
        )
        for path, item in document["paths"].items()
        for method, one in item.items()
    ]


def body_of(operation: Schema, kind: str) -> Schema | None:
    """Return the schema of the body that an operation takes in this kind, if it does."""
    found: Schema | None = operation.get("requestBody", {}).get("content", {}).get(kind, {}).get("schema")
    return found


@dataclass(frozen=True)
class Examples:
    """Values that fit a JSON schema.

    Free text holds `text` and is never the same twice; an identifier is the first of `ids`, or nobody's.
    """

    components: Schema
    text: str
    ids: Sequence[str] = ()
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def value(self, schema: Schema) -> Any:
        """Return one value; raise KeyError for a schema of a kind that is not known here."""
        plain = self.alternatives(schema)[0]
        if "examples" in plain:
            return plain["examples"][0]
        if "const" in plain or "enum" in plain:
            return plain["const"] if "const" in plain else plain["enum"][0]
        makers: dict[str, Callable[[Schema], Any]] = {
            "object": self.an_object,
            "array": self.an_array,
            "integer": a_number,
            "number": a_number,
            "boolean": lambda _: True,
            "string": self.a_string,
        }
        return makers[plain.get("type", "string")](plain)

    def choices(self, schema: Schema) -> list[Any]:
        """Return several values: each of an enumeration, both ends of a range, every identifier, each alternative."""
        return [value for plain in self.alternatives(schema) for value in self.several(plain)]

    def several(self, plain: Schema) -> list[Any]:
        """Return the choices within one alternative."""
        if "enum" in plain:
            return list(plain["enum"])
        if plain.get("type") == "array":
            return self.choices(plain["items"])
        if plain.get("type") == "boolean":
            return [True, False]
        if plain.get("format") == "uuid" and self.ids:
            return list(self.ids)
        return [plain[end] for end in ("minimum", "maximum") if end in plain] or [self.value(plain)]

    def alternatives(self, schema: Schema) -> list[Schema]:
        """Return what a schema may mean, without references and without null."""
        if "$ref" in schema:
            return self.alternatives(self.components[schema["$ref"].rpartition("/")[2]])
        options = schema.get("anyOf") or schema.get("oneOf")
        if options is None:
            return [] if schema.get("type") == "null" else [schema]
        return [plain for option in options for plain in self.alternatives(option)]

    def an_object(self, plain: Schema) -> dict[str, Any]:
        """Return an object with every property it may have."""
        return {name: self.value(part) for name, part in plain.get("properties", {}).items()}

    def an_array(self, plain: Schema) -> list[Any]:
        """Return an array of as few items as may be, but one; none where no item can be, as of modules that are not."""
        if self.alternatives(plain["items"])[0].get("enum") == []:
            return []
        return [self.value(plain["items"]) for _ in range(plain.get("minItems") or 1)]

    def a_string(self, plain: Schema) -> str:
        """Return text of the format and within the lengths."""
        kind = plain.get("format", "")
        if kind == "uuid" and self.ids:
            return self.ids[0]
        if kind in FORMATS:
            return FORMATS[kind]()
        text = f"{next(self.numbers)} {self.text}"
        if not re.search(plain.get("pattern", ""), text):
            text = re.sub(r"[^a-z0-9]+", "-", f"x{text}".lower())
        return text[: plain.get("maxLength")].ljust(plain.get("minLength", 0), "x")


def a_number(plain: Schema) -> Any:
    """Return a number at an end of its range; the document writes whole ones with a point."""
    least = (
        plain["exclusiveMinimum"] + 1 if "exclusiveMinimum" in plain else plain.get("minimum", plain.get("maximum", 1))
    )
    return int(least) if plain["type"] == "integer" else least
