"""What somebody does who was invited."""

import re
import uuid
from collections.abc import Sequence

from httpx2 import AsyncClient, Response

from app.core.unit_of_work import UnitOfWork
from app.services.mailer import MemoryMailer
from tests.support import PASSWORD, Caller, settled_of

LINK = re.compile(r"/invitations/accept#token=(gpi_[\w-]{70})$", re.MULTILINE)


def new_address() -> str:
    """Return an address that nobody has."""
    return f"{uuid.uuid4().hex}@example.com"


async def invite(caller: Caller, email: str, role: str = "member") -> Response:
    """Invite an address to the caller's tenant."""
    return await caller.call("POST", "/tenants/current/invitations", json={"email": email, "role": role})


async def tokens(work: UnitOfWork, email: str) -> Sequence[str]:
    """Return the tokens that were mailed to an address, oldest first, once everything is sent."""
    await settled_of(work)
    assert isinstance(work.services.mailer, MemoryMailer)
    found = [LINK.search(mail.text) for mail in work.services.mailer.to(email)]
    return [link[1] for link in found if link]


async def accept(client: AsyncClient, token: str, **person: str) -> Response:
    """Accept an invitation, with a name and a password where the address has no account."""
    return await client.post("/invitations/accept", json={"token": token, **person})


NEW = {"full_name": "New Person", "password": PASSWORD}
"""What somebody without an account sends with the token."""
