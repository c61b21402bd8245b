"""Validation errors never say what was sent."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from pydantic import (
    AwareDatetime,
    Base64Bytes,
    BaseModel,
    EmailStr,
    Field,
    HttpUrl,
    ImportString,
    IPvAnyAddress,
    Json,
    PastDate,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app.extensions.faults import MOST_FAULTS, UNSAID, Fault, safe_faults

SENT = "Zebra42"
"""A value that no schema and no message contains."""


class Colour(StrEnum):
    """An enumeration."""

    red = "red"


class Cat(BaseModel):
    """One side of a union."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other side."""

    kind: Literal["dog"]


class Talkative(BaseModel):
    """Validators of an author who quotes what he got."""

    name: str = ""
    code: str = ""
    plain: str = ""

    @field_validator("name")
    @classmethod
    def check_name(cls, value: str) -> str:
        """Quote the value in an error of Python's."""
        raise ValueError(f"{value.upper()} is taken")

    @field_validator("code")
    @classmethod
    def check_code(cls, value: str) -> str:
        """Quote the value in an error of pydantic's."""
        raise PydanticCustomError("code_taken", "{value} is taken", {"value": value})

    @field_validator("plain")
    @classmethod
    def check_plain(cls, value: str) -> str:
        """Say only what is wrong."""
        if value:
            raise ValueError("must name a planet")
        return value


class Whole(BaseModel):
    """A validator over all fields, which quotes one of them."""

    name: str

    @model_validator(mode="after")
    def check(self) -> "Whole":
        """Quote a field."""
        raise ValueError(f"no room for {self.name}")


KINDS: list[Any] = [
    Colour, Literal["a"], HttpUrl, UUID, Json, AwareDatetime, PastDate, Decimal, int, float, bool,
    EmailStr, ZoneInfo, Base64Bytes, ImportString, IPvAnyAddress, list[int], dict[Colour, int], bytes, Cat,
    Talkative, Whole, Annotated[Cat | Dog, Field(discriminator="kind")], Annotated[str, Field(pattern="^a$")],
    Annotated[str, Field(max_length=1)], int | Colour,
]  # fmt: skip

VALUES: list[Any] = [
    SENT, f"2026-13-45{SENT}", f"http://{SENT} .:99999", f"http://[{SENT}", f"{SENT}@{SENT}..x", f"a@{SENT}",
    f'"{SENT}"@x', "{" + SENT, [SENT], {"kind": SENT}, {SENT + " x": SENT}, {"name": SENT}, {"code": SENT},
    f"12345678-1234-1234-1234-12345678{SENT}",
]  # fmt: skip


def faults_of(kind: Any, value: Any) -> list[dict[str, Any]]:
    """Return the faults of a value, or none."""
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return safe_faults(error.errors())
    return []


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_input_is_not_echoed(kind: Any) -> None:
    """Neither the whole value nor a part of it comes back, from whatever kind of field."""
    for value in VALUES:
        found = faults_of(kind, value)
        assert SENT.lower() not in str(found).lower()
        for fault in found:
            assert Fault.model_validate(fault, strict=True).model_dump() == fault


def test_single_characters() -> None:
    """A UUID's message quotes the character it stumbled over; ours does not."""
    (fault,) = faults_of(UUID, "Q")
    assert fault == {"loc": [], "msg": "Input should be a valid UUID", "type": "uuid_parsing"}


def test_messages_of_authors() -> None:
    """A message that quotes nothing is passed on; one that does is replaced."""
    name, code, plain = faults_of(Talkative, {"name": SENT, "code": SENT, "plain": SENT})
    assert (name["msg"], code["msg"], plain["msg"]) == (UNSAID, UNSAID, "must name a planet")
    assert code["type"] == "code_taken"


def test_short_values() -> None:
    """A short value is quoted only where it stands as a word of its own."""
    assert faults_of(Talkative, {"name": "x", "plain": "a"})[0]["msg"] == UNSAID
    assert faults_of(Talkative, {"plain": "pl"})[0]["msg"] == "must name a planet"


def test_places() -> None:
    """Names and indices are shown, so that a client finds the field; keys that are no names are not."""
    keys = ("name", "<b>", "x" * 65)
    faults = [{"loc": ("body", 3, key), "msg": "x", "type": "missing"} for key in keys]
    assert [fault["loc"] for fault in safe_faults(faults)] == [
        ["body", 3, "name"], ["body", 3, "?"], ["body", 3, "?"],
    ]  # fmt: skip


def test_number_of_faults() -> None:
    """A body with a thousand mistakes does not make an answer of a thousand lines."""
    assert len(faults_of(list[int], ["x"] * 1000)) == MOST_FAULTS


def test_unencodable_message() -> None:
    """A message with half a character can be sent."""
    (fault,) = safe_faults([{"loc": (), "msg": "bad \ud800", "type": "mine", "input": None}])
    assert fault["msg"] == "bad ?"
