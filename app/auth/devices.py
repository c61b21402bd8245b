"""What a client says of itself."""

from typing import Annotated

from fastapi import Depends, Request

from app.auth.models import LONGEST_AGENT


async def user_agent(request: Request) -> str:
    """Return the client's User-Agent, cut and without control characters; what it says is not believed, only shown."""
    said = request.headers.get("user-agent", "")
    return "".join(character for character in said if character.isprintable())[:LONGEST_AGENT]


Agent = Annotated[str, Depends(user_agent)]
