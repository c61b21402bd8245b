"""Values as the outbox keeps them: JSON that jsonb can hold, and not too much of it."""

import re
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)
LARGEST = 262_144
"""Bytes of JSON that an entry takes, for arguments and for a result: what is larger belongs into a file."""

NUL = re.compile(rb"(?<!\\)(\\\\)*\\u0000")


def to_values(value: Any, adapter: TypeAdapter[Any] = ANYTHING) -> Any:
    """Return a value as JSON values; raises ValueError, with the reason, for what JSON or jsonb cannot hold."""
    try:
        return from_json(adapter.dump_json(value))
    except RecursionError:
        raise ValueError("it nests too deep for JSON") from None


def checked(value: Any, adapter: TypeAdapter[Any]) -> Any:
    """Return the same for a value that must be of the adapter's type, also once it was read back; raises ValueError."""
    try:
        found = to_values(adapter.validate_python(value), adapter)
        read(found, adapter)
    except ValidationError as error:
        raise ValueError(reason(error)) from None
    return found


def read(value: Any, adapter: TypeAdapter[Any]) -> Any:
    """Return what was written as JSON values, in the adapter's type; raises ValueError for what does not fit."""
    try:
        return adapter.validate_json(orjson.dumps(value))
    except ValidationError as error:
        raise ValueError(reason(error)) from None
    except TypeError as error:
        raise ValueError(str(error)) from None


def refuse_unkept(value: Any) -> None:
    """Raise ValueError for JSON values that an entry cannot keep: too many, too large a number, a NUL."""
    try:
        text = orjson.dumps(value)
    except TypeError as error:
        raise ValueError(str(error)) from None
    if len(text) > LARGEST:
        raise ValueError(f"{len(text)} bytes of JSON are more than {LARGEST}: keep it in a file, and pass its name")
    if NUL.search(text):
        raise ValueError("PostgreSQL cannot store the NUL character")


def reason(error: ValidationError) -> str:
    """Return what is wrong, and where, without the value."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else first["msg"]
