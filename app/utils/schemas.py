"""The shapes of answers and inputs that every package shares."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError, to_json
from starlette.background import BackgroundTask
from starlette.responses import Response

Content = TypeVar("Content")
Item = TypeVar("Item")

Unset = SkipJsonSchema[None]
"""The value of a field that was left out; the document does not offer it."""

NO_NUL = r"^[^\x00]*$"
"""What the document says of text: no NUL."""

UNSEEN = (
    r"\x00-\x1f\x7f-\x9f\u00ad\u115f\u1160\u180e\u200b\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    r"\ufff9-\ufffb"
)
"""Characters that break a line, override its direction, or look like nothing; not the joiners and marks of scripts."""

BLANK = r"\u034f\u17b4\u17b5\u200c\u200d\u2800\ufe00-\ufe0f"
"""Characters that show nothing before another one does; some scripts need them inside of a word."""

VISIBLE = rf"^[ \t\n\r]*[^{UNSEEN}{BLANK}\s]([^{UNSEEN}]*[^{UNSEEN}\s])?[ \t\n\r]*$"
"""What the document says of a name: something to be seen, and nothing but that."""


def refuse_unseen(value: str) -> str:
    """Raise for a name that does not show what it is: it stands in mails, lists and logs."""
    if not re.fullmatch(VISIBLE, value):
        raise PydanticCustomError("unseen", "Use characters that can be seen, on one line")
    return value


Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    AfterValidator(refuse_unseen),
    Field(json_schema_extra={"pattern": VISIBLE}),
]


class BaseSchema(BaseModel):
    """Parent of every schema: reads attributes of rows, shows enums by value."""

    model_config = ConfigDict(from_attributes=True, use_enum_values=True)


def document_text(schema: dict[str, Any]) -> None:
    """Say in a JSON schema that plain text holds no NUL."""
    for field in schema.get("properties", {}).values():
        if field.get("type") == "string" and not field.keys() & {"format", "pattern", "enum"}:
            field["pattern"] = NO_NUL


def document_partial(schema: dict[str, Any]) -> None:
    """Say the same of a partial change, and take the defaults out, which nobody may send."""
    document_text(schema)
    for field in schema.get("properties", {}).values():
        field.pop("default", None)


class InputSchema(BaseSchema):
    """Parent of what clients send: unknown fields are refused, and so is NUL, which PostgreSQL cannot store."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=document_text)

    @field_validator("*")
    @classmethod
    def refuse_nul(cls, value: Any) -> Any:
        """Raise for text with a NUL character."""
        if isinstance(value, str) and "\0" in value:
            raise PydanticCustomError("string_nul", "Text must not contain the NUL character")
        return value


class PatchSchema(InputSchema):
    """Parent of partial changes: what is left out stays as it is, and null is no value.

    Declare fields as `name: Name | Unset = None`; read them with `model_dump(exclude_unset=True)`. The document does
    not show that None: a client that sent it would be refused. A field that null empties stands in `nullable`, and is
    declared as `due_on: Day | None = None`.
    """

    nullable: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(json_schema_extra=document_partial)

    @field_validator("*")
    @classmethod
    def refuse_null(cls, value: Any, info: ValidationInfo) -> Any:
        """Raise for a field that was sent as null, and is not emptied by it."""
        if value is None and info.field_name not in cls.nullable:
            raise PydanticCustomError("null", "Leave the field out, or give it a value")
        return value


class DefaultResponse(BaseSchema):
    """An acknowledgement where there is no resource to show."""

    status: bool = True
    msg: str
    details: dict[str, Any] = Field(default_factory=dict)


class SecretResponse(BaseSchema):
    """Parent of answers that carry a token or a key: never stored, never cached."""


class Page(BaseSchema, Generic[Item]):
    """One page of a list; `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None = Field(None, examples=[None])  # so that who follows a mock's pages comes to an end


class PageQuery(InputSchema):
    """What every list accepts."""

    limit: int = Field(50, ge=1, le=100, description="rows a page")
    cursor: str | None = Field(None, max_length=2000, description="`next_cursor` of the page before")


class JSONResponse(Response, Generic[Content]):
    """A JSON answer whose status is decided at run time.

    Annotate the operation with `JSONResponse[ProjectResponse]`: that is what documents the body, and what the
    validating mode holds it against. Renders schemas, lists of them (empty ones too) and plain values.
    """

    media_type = "application/json"

    def __init__(
        self,
        content: Content,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        background: BackgroundTask | None = None,
    ) -> None:
        super().__init__(content, status_code, headers, background=background)

    def render(self, content: Any) -> bytes:
        """Return the body as UTF-8 JSON."""
        return to_json(content, by_alias=True)
