"""What inputs of many packages are made of, beside names: text, whole numbers, days and moments."""

import datetime as dt
import re
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

LEAST, MOST = -(2**31), 2**31 - 1
"""What a column of whole numbers holds."""

WRITTEN = r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})"
"""A date and time as RFC 3339 has it."""

FIRST, LAST = dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=dt.UTC)


def as_day(value: object) -> object:
    """Raise for what is no date alone: pydantic would take midnights and some numbers too."""
    if not (type(value) is dt.date or (isinstance(value, str) and re.fullmatch(r"\d{4}-\d{2}-\d{2}", value))):
        raise PydanticCustomError("day", "Write a date, as 2026-01-02")
    return value


def as_moment(value: object) -> object:
    """Raise for what is no date and time with its zone: pydantic would take seconds since 1970 too."""
    if not (isinstance(value, dt.datetime) or (isinstance(value, str) and re.fullmatch(WRITTEN, value))):
        raise PydanticCustomError("moment", "Write a date and time with its zone, as 2026-01-02T03:04:05Z")
    return value


def within_time(value: dt.datetime) -> dt.datetime:
    """Return the moment in UTC; one before or after all that can be written there is the first or the last."""
    try:
        return value.astimezone(dt.UTC)
    except OverflowError:
        return FIRST if value.year == 1 else LAST


Text = Annotated[str, StringConstraints(max_length=10_000)]
Whole = Annotated[int, Field(strict=True, ge=LEAST, le=MOST)]
Day = Annotated[dt.date, BeforeValidator(as_day)]
Moment = Annotated[AwareDatetime, BeforeValidator(as_moment), AfterValidator(within_time)]
