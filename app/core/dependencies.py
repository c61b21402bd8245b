"""The vocabulary of routes beside the Context."""

from typing import Annotated

from fastapi import Depends, Header

from app.core.preconditions import LIST, Tags, read_tags
from app.utils.schemas import Unset


async def if_match(
    value: Annotated[
        str | Unset,
        Header(
            alias="If-Match",
            description="the ETag that was read",
            max_length=500,
            json_schema_extra={"pattern": rf"^(\*|{LIST})$"},
        ),
    ] = None,
) -> Tags:
    """Return the tags that the client accepts; 400 for what is no list of tags."""
    return read_tags(value)


Expected = Annotated[Tags, Depends(if_match)]
"""The entity tags that an operation may go on with; None when the client named none."""
