"""The shapes that every package shares."""

import datetime as dt
import json
import re
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from app.utils.schemas import (
    BaseSchema,
    DefaultResponse,
    InputSchema,
    JSONResponse,
    Name,
    Page,
    PageQuery,
    PatchSchema,
    Unset,
)


class Colour(StrEnum):
    """An enumeration."""

    red = "red"


class Thing(BaseSchema):
    """What is shown."""

    id: uuid.UUID
    colour: Colour
    made_at: dt.datetime


@dataclass
class Row:
    """What stands behind it."""

    id: uuid.UUID
    colour: str
    made_at: dt.datetime
    secret: str = "not shown"


class Input(InputSchema):
    """What is sent."""

    name: Name
    note: str = ""
    password: SecretStr | None = None
    inner: "Input | None" = None


class Change(PatchSchema):
    """What is changed."""

    name: Name | Unset = None
    colour: Colour | Unset = None


ROW = Row(uuid.UUID(int=7), "red", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC))
SHOWN = {"id": "00000000-0000-0000-0000-000000000007", "colour": "red", "made_at": "2026-01-02T03:04:05Z"}


def kinds(error: ValidationError) -> list[tuple[tuple[int | str, ...], str]]:
    """Return where something was refused, and of which type the refusal is."""
    return [(fault["loc"], fault["type"]) for fault in error.errors()]


def test_a_schema_reads_a_row_and_shows_enums_by_value() -> None:
    """Attributes are read, others left alone; what is dumped is plain."""
    thing = Thing.model_validate(ROW)
    assert thing.model_dump(mode="json") == SHOWN
    assert type(thing.model_dump()["colour"]) is str


def test_an_input_refuses_what_it_does_not_know() -> None:
    """An unknown field is an error, at every depth: a misspelt one must not be passed over."""
    with pytest.raises(ValidationError) as caught:
        Input.model_validate({"name": "a", "nmae": "b", "inner": {"name": "c", "d": 1}})
    assert kinds(caught.value) == [(("inner", "d"), "extra_forbidden"), (("nmae",), "extra_forbidden")]


def test_an_input_refuses_nul() -> None:
    """Text with NUL is an error, at every depth; a password, which is only hashed, may hold one."""
    with pytest.raises(ValidationError) as caught:
        Input.model_validate({"name": "a", "note": "a\0", "inner": {"name": "b", "note": "\0b"}})
    assert kinds(caught.value) == [(("note",), "string_nul"), (("inner", "note"), "string_nul")]
    assert "\0" not in caught.value.errors()[0]["msg"]
    assert Input.model_validate({"name": "a", "password": "b\0"}).password == SecretStr("b\0")


@pytest.mark.parametrize(
    "given",
    [
        "a\nb",
        "a\0",
        "\x1b[31m",
        "\u202eevil",
        "\u200b",
        "\ufeff",
        "\u115f",
        "a\u2028b",
        "\x07",
        "\u200d\u200d",
        "\u2800",
        "\ufe0f",
    ],
)
def test_a_name_shows_what_it_is(given: str) -> None:
    """What breaks the line, turns it round or looks like nothing is refused; it would stand so in mails and lists."""
    with pytest.raises(ValidationError) as caught:
        Input(name=given)
    assert kinds(caught.value) == [(("name",), "unseen")]


@pytest.mark.parametrize(
    ("given", "read"), [(" a ", "a"), ("x" * 200, "x" * 200), ("\u2003é\n", "é"), ("a\u200cb", "a\u200cb")]
)
def test_a_name_is_trimmed(given: str, read: str) -> None:
    """Space at both ends goes, in any script's sense of it; then 1 to 200 characters are left."""
    assert Input(name=given).name == read


@pytest.mark.parametrize("given", ["", " ", "\t\n", "x" * 201])
def test_a_name_has_a_length(given: str) -> None:
    """Nothing, or more than 200 characters, is no name."""
    with pytest.raises(ValidationError):
        Input(name=given)


def test_a_change_knows_what_was_sent() -> None:
    """What was left out is not among the changes."""
    assert Change().model_dump(exclude_unset=True) == {}
    assert Change.model_validate({"colour": "red"}).model_dump(exclude_unset=True) == {"colour": "red"}


@pytest.mark.parametrize("field", ["name", "colour"])
def test_a_change_refuses_null(field: str) -> None:
    """Null is not the way to leave a field out, and unknown fields are refused as in every input."""
    with pytest.raises(ValidationError) as caught:
        Change.model_validate({field: None})
    assert kinds(caught.value) == [((field,), "null")]
    with pytest.raises(ValidationError) as caught:
        Change.model_validate({"other": None})
    assert kinds(caught.value) == [(("other",), "extra_forbidden")]


def test_a_change_is_documented_without_null() -> None:
    """The schema offers the values alone, and asks for no field."""
    schema = Change.model_json_schema()
    assert schema["properties"]["name"].keys() == {"title", "type", "minLength", "maxLength", "pattern"}
    assert "null" not in json.dumps(schema)
    assert "required" not in schema
    assert schema["additionalProperties"] is False


def test_a_page_holds_items_of_its_kind() -> None:
    """A page validates its items; without a cursor it is the last one."""
    page = Page[Thing](items=[Thing.model_validate(ROW)])
    assert page.model_dump(mode="json") == {"items": [SHOWN], "next_cursor": None}
    with pytest.raises(ValidationError):
        Page[Thing].model_validate({"items": [{"id": "x"}]})


def test_a_page_is_asked_for_in_bounds() -> None:
    """50 rows unless 1 to 100 are asked for, and nothing beside limit and cursor."""
    assert PageQuery().model_dump() == {"limit": 50, "cursor": None}
    assert [PageQuery(limit=limit).limit for limit in (1, 100)] == [1, 100]
    for wrong in ({"limit": 0}, {"limit": 101}, {"limit": 2**63}, {"cursor": "x" * 2001}, {"offset": 1}):
        with pytest.raises(ValidationError):
            PageQuery.model_validate(wrong)


def test_an_acknowledgement_needs_a_message() -> None:
    """The rest has its default, and each has details of its own."""
    one, two = DefaultResponse(msg="done"), DefaultResponse(msg="done")
    assert one.model_dump() == {"status": True, "msg": "done", "details": {}}
    assert one.details is not two.details


@pytest.mark.parametrize(
    ("content", "rendered"),
    [
        (Thing.model_validate(ROW), SHOWN),
        ([Thing.model_validate(ROW)], [SHOWN]),
        ([], []),
        ({}, {}),
        (None, None),
        (Page[Thing](items=[]), {"items": [], "next_cursor": None}),
        (
            {"at": ROW.made_at, "id": ROW.id, "colour": Colour.red},
            {"at": SHOWN["made_at"], "id": SHOWN["id"], "colour": "red"},
        ),
        ({"one": [Thing.model_validate(ROW)]}, {"one": [SHOWN]}),
        ("é🚀", "é🚀"),
        (0, 0),
        (False, False),
    ],
)
def test_a_json_response_renders(content: Any, rendered: Any) -> None:
    """Schemas, lists of them, empty ones and plain values become UTF-8 JSON."""
    response = JSONResponse(content)
    assert json.loads(bytes(response.body)) == rendered
    assert response.headers["content-type"] == "application/json"
    assert response.headers["content-length"] == str(len(bytes(response.body)))
    assert response.status_code == 200


def test_a_json_response_takes_status_and_headers() -> None:
    """The status is decided at run time, that is what it is for."""
    response = JSONResponse({"a": 1}, 202, headers={"Location": "/there"})
    assert (response.status_code, response.headers["location"], bytes(response.body)) == (202, "/there", b'{"a":1}')


@pytest.mark.parametrize(("text", "fits"), [("a", True), (" a ", True), ("ä\n", True), (" ", False), ("a\0", False)])
def test_a_name_is_what_its_pattern_says(text: str, fits: bool) -> None:
    """The document's pattern and the validation agree on white space and NUL."""
    pattern = Change.model_json_schema()["properties"]["name"]["pattern"]
    assert bool(re.search(pattern, text)) is fits
    if fits:
        assert Change.model_validate({"name": text}).name == text.strip()
    else:
        with pytest.raises(ValidationError):
            Change.model_validate({"name": text})
