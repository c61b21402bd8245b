"""The generated requests themselves: what is sent fits what is asked, or a refusal would prove nothing."""

import datetime as dt
import uuid
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AnyUrl, BaseModel, EmailStr, Field

from app.utils.schemas import InputSchema, Name, PatchSchema, Unset
from tests.examples import Examples


class Colour(StrEnum):
    """One of two."""

    red = "red"
    blue = "blue"


class Part(InputSchema):
    """A piece of the whole."""

    name: Name
    count: Annotated[int, Field(gt=3, le=9)]


class Whole(PatchSchema):
    """Every kind of field there is."""

    name: Name
    code: Annotated[str, Field(min_length=40, max_length=40)]
    note: str | Unset = None
    colour: Colour | Unset = None
    kind: Literal["whole"]
    email: EmailStr
    owner_id: uuid.UUID
    starts_at: dt.datetime
    day: dt.date
    link: AnyUrl
    size: Annotated[int, Field(ge=5)]
    share: Annotated[float, Field(le=0.5)]
    on: bool
    parts: Annotated[list[Part], Field(min_length=2)]
    either: Part | int
    payload: Any
    extra: dict[str, int]


def examples_of(model: type[BaseModel], *ids: str) -> tuple[Examples, dict[str, Any]]:
    """Return what makes values for a model, and its schema."""
    schema = model.model_json_schema()
    return Examples(schema.get("$defs", {}), "some text", ids), schema


def test_a_body_has_every_field_in_its_form() -> None:
    """Formats, lengths, ranges, references and alternatives are kept, and nothing is left out."""
    examples, schema = examples_of(Whole)
    made = Whole.model_validate(examples.value(schema))
    assert made.model_fields_set == set(Whole.model_fields)
    assert made.name != examples.value(schema)["name"]
    assert "some text" in made.name


def test_an_identifier_is_the_one_that_was_given() -> None:
    """So a body that wants one can be sent with each that there is."""
    given = str(uuid.uuid4())
    examples, schema = examples_of(Whole, given)
    assert examples.value(schema)["owner_id"] == given


def test_a_parameter_is_tried_with_several_values() -> None:
    """Each of an enumeration, both ends of a range, both answers, every identifier, every alternative."""
    ids = [str(uuid.uuid4()) for _ in range(2)]
    examples, schema = examples_of(Whole, *ids)
    fields = {**schema["properties"], "limit": {"type": "integer", "minimum": 1, "maximum": 100}}
    choices = {name: examples.choices(fields[name]) for name in ("colour", "on", "owner_id", "limit")}
    assert choices == {"colour": ["red", "blue"], "on": [True, False], "owner_id": ids, "limit": [1, 100]}
    assert [type(value) for value in examples.choices(fields["either"])] == [dict, int]
