"""Examples of answers, drawn from the OpenAPI document: for a front end that is built before the module behind it."""

import json
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import Response

from app.core.exceptions import MockOperationNotFoundError, MockStatusNotFoundError

Schema = Mapping[str, Any]

FORMATS = {
    "uuid": "01940000-0000-7000-8000-000000000001",
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "duration": "PT1H",
    "email": "somebody@example.com",
    "hostname": "app.example.com",
    "uri": "https://app.example.com/",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
"""A text of each format; of others, and without one, the title of the field."""
CANDIDATES = (
    "text",
    "A",
    "0",
    "00",
    "0000",
    "1.0",
    "a.b",
    "a-b",
    "A1",
    "#000000",
    "+10000000",
    "en",
    "EUR",
    *FORMATS.values(),
)
"""What is tried for a pattern, after the title; what matches none of them has to document an example."""


ABSENT = object()
"""What is documented where nothing is; null may be an example."""


class NoExampleError(ValueError):
    """A schema asks for a pattern that nothing matches, or refers to itself."""

    def __init__(self) -> None:
        super().__init__("no example can be drawn from this schema. Document one (`examples`)")


class Examples:
    """Draws a value from a schema, always the same; `components` is where references lead to."""

    def __init__(self, components: Mapping[str, Schema]) -> None:
        self.components = components
        self.kinds: dict[str, Callable[[Schema, tuple[str, ...]], Any]] = {
            "object": self.table,
            "array": self.array,
            "string": self.text,
            "integer": self.number,
            "number": self.number,
            "boolean": lambda *_: True,
            "null": lambda *_: None,
        }

    def draw(self, schema: Schema, above: tuple[str, ...] = ()) -> Any:
        """Return a value that is valid; a documented one comes first. `above` names the references that led here."""
        if reference := schema.get("$ref"):
            name = str(reference).rpartition("/")[2]
            if name in above:
                raise NoExampleError
            return self.draw(
                {**self.components[name], **{key: schema[key] for key in schema if key != "$ref"}}, (*above, name)
            )
        if (found := documented(schema)) is not ABSENT:
            return found
        if "allOf" in schema:
            return self.merged(schema, above)
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return self.first([{"title": schema.get("title", ""), **option} for option in options], above)
        kinds = schema.get("type", "object" if "properties" in schema else "null")
        kind = next((one for one in kinds if one != "null"), "null") if isinstance(kinds, list) else kinds
        return self.kinds[kind](schema, above)

    def first(self, options: list[dict[str, Any]], above: tuple[str, ...]) -> Any:
        """Return a value of the first option that has one, null last."""
        for option in sorted(options, key=lambda one: one.get("type") == "null"):
            try:
                return self.draw(option, above)
            except NoExampleError:
                continue
        raise NoExampleError

    def merged(self, schema: Schema, above: tuple[str, ...]) -> Any:
        """Return a value of all parts at once: of one part that is, or a table with the fields of all."""
        own = {key: schema[key] for key in schema if key != "allOf"}
        drawn = [self.draw(part, above) for part in (*schema["allOf"], *([own] if "properties" in own else []))]
        if all(isinstance(one, dict) for one in drawn):
            return {name: value for one in drawn for name, value in one.items()}
        return drawn[0]

    def table(self, schema: Schema, above: tuple[str, ...]) -> dict[str, Any]:
        """Return a value with every field; without an optional one that would never end."""
        drawn = {}
        for name, field in schema.get("properties", {}).items():
            try:
                drawn[name] = self.draw(field, above)
            except NoExampleError:
                if name in schema.get("required", ()):
                    raise
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and more and not drawn:
            drawn[self.draw({"type": "string", "title": "key", **schema.get("propertyNames", {})})] = self.draw(
                more, above
            )
        return drawn

    def array(self, schema: Schema, above: tuple[str, ...]) -> list[Any]:
        """Return as many values as there must be, one at least where there may be one."""
        drawn = [self.draw(one, above) for one in schema.get("prefixItems", ())]
        least = schema.get("minItems", 0)
        if "items" not in schema or schema.get("maxItems", 1) == 0:
            return drawn
        try:
            drawn += [self.draw(schema["items"], above) for _ in range(max(least, 1) - len(drawn))]
        except NoExampleError:
            if least > len(drawn):
                raise
        return drawn

    def text(self, schema: Schema, _: tuple[str, ...]) -> str:
        """Return a text of the format, of the pattern, or the title; as long as it must be."""
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1000)
        title, pattern = schema.get("title") or "text", schema.get("pattern", "")
        for candidate in (FORMATS.get(schema.get("format", ""), title), title.lower(), *CANDIDATES):
            fitting = (
                (candidate * (least // len(candidate) + 1))[:least] if len(candidate) < least else candidate[:most]
            )
            if re.search(pattern, fitting):
                return fitting
        raise NoExampleError

    def number(self, schema: Schema, _: tuple[str, ...]) -> int | float:
        """Return the number that is allowed and nearest to one."""
        step = schema.get("multipleOf", 1)
        low = schema.get("minimum", schema.get("exclusiveMinimum", float("-inf")) + step)
        high = schema.get("maximum", schema.get("exclusiveMaximum", float("inf")) - step)
        found = -(-max(low, min(1, high)) // step) * step
        return int(found) if schema.get("type") == "integer" else found


def documented(schema: Schema) -> Any:
    """Return the example that a schema documents, or the one value that it allows; ABSENT without. Null may be one."""
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    return schema.get("example", schema.get("const", ABSENT))


class MockService:
    """Answers for operations of a document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.operations = {
            operation["operationId"]: operation for item in document["paths"].values() for operation in item.values()
        }
        self.examples = Examples(document["components"]["schemas"])

    def answer(self, operation_id: str, status: int | None = None) -> Response:
        """Return what an operation might answer, with a status that it documents, without one a success.

        Raises `MockOperationNotFoundError` and `MockStatusNotFoundError`.
        """
        operation = self.operations.get(operation_id)
        if operation is None:
            raise MockOperationNotFoundError
        code = str(status) if status else min(operation["responses"])
        if code not in operation["responses"]:
            raise MockStatusNotFoundError
        content = operation["responses"][code].get("content", {})
        for media_type, media in content.items():
            body = self.body(media, int(code))
            return Response(json.dumps(body) + "\n", int(code), media_type=media_type)
        return Response(status_code=int(code))

    def body(self, media: Mapping[str, Any], status: int) -> Any:
        """Return the example of a media type; that of a problem bears the status with which it comes."""
        for example in media.get("examples", {}).values():
            return example["value"]
        if "example" in media:
            return media["example"]
        schema = media.get("schema", {})
        drawn = self.examples.draw(schema)
        if schema.get("$ref", "").endswith("/Problem"):
            drawn |= {"status": status, "title": HTTPStatus(status).phrase}
        return drawn
