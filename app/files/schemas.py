"""The API's view of files."""

import datetime as dt
import re
import unicodedata
import uuid
from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app.utils.schemas import UNSEEN, BaseSchema, PageQuery, SecretResponse

REFUSED = rf"{UNSEEN}\u061c\u200e\u200f/\\"
FILE_NAME = rf"^[ \t\n\r]*\.*[^{REFUSED}\s.]([^{REFUSED}]*[^{REFUSED}\s])?[ \t\n\r]*$"
"""What the document says of a file's name: one part of a path, that shows what it is in one direction."""


def refuse_unsafe(value: str) -> str:
    """Return the name in its composed form (NFC); raise for one that is a path, or shows something else."""
    if not re.fullmatch(FILE_NAME, value):
        raise PydanticCustomError("file_name", "Use a file's name alone: no path, on one line, in visible characters")
    return unicodedata.normalize("NFC", value)


FileName = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255),
    AfterValidator(refuse_unsafe),
    Field(description="what the file is called", json_schema_extra={"pattern": FILE_NAME}),
]


class FileQuery(PageQuery):
    """What a list of files accepts."""


class FileResponse(BaseSchema):
    """A file: its type is told by its content, its size is bytes."""

    id: uuid.UUID
    name: str
    content_type: str
    size: int
    sha256: str
    created_by: uuid.UUID | None
    created_at: dt.datetime


class FileLink(SecretResponse):
    """Where to fetch a file; until `expires_at` without a sign-in, or, where that is null, with one."""

    url: str
    expires_at: dt.datetime | None


class SweepResult(BaseSchema):
    """What a sweep removed: uploads that were given up, files whose time was over, and objects that no row knows."""

    given_up: int
    expired: int
    orphans: int
