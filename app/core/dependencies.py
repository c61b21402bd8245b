"""The vocabulary of routes beside the Context."""

from typing import Annotated

from fastapi import Depends, Header, Request

from app.core.preconditions import PLAIN_LIST, Tags, read_tags
from app.utils.schemas import Unset


async def if_match(
    request: Request,
    _: Annotated[
        str | Unset,
        Header(
            alias="If-Match",
            description="the ETag that was read",
            max_length=500,
            json_schema_extra={"pattern": PLAIN_LIST},
        ),
    ] = None,
) -> Tags:
    """Return the tags that the client accepts, of all its If-Match lines; 400 for what is no list of tags."""
    lines = request.headers.getlist("If-Match")
    return read_tags(", ".join(lines) if lines else None)


Expected = Annotated[Tags, Depends(if_match)]
"""The entity tags that an operation may go on with; None when the client named none."""
