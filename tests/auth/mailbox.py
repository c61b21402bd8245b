"""What people find in their mail, and what they do with it."""

import re
from dataclasses import dataclass

from httpx2 import AsyncClient, Response

from app.core.unit_of_work import UnitOfWork
from app.services.mailer import Mail, MemoryMailer
from tests.support import settled_of

LINK = re.compile(r"^http://127\.0\.0\.1:8000/([a-z-]+)#token=(gpl_[\w-]{43})$", re.MULTILINE)
NEW_PASSWORD = "eleven green kettles"


@dataclass(frozen=True)
class Mailbox:
    """The mails of an application that keeps them in memory."""

    work: UnitOfWork

    async def mails(self, email: str) -> list[Mail]:
        """Return what was sent to an address, oldest first, once everything that was asked for is sent."""
        await settled_of(self.work)
        assert isinstance(self.work.services.mailer, MemoryMailer)
        return list(self.work.services.mailer.to(email))

    async def links(self, email: str, page: str) -> list[str]:
        """Return the tokens of the links to a page that were sent to an address, oldest first."""
        found = [LINK.search(mail.text) for mail in await self.mails(email)]
        return [link[2] for link in found if link and link[1] == page]


async def forget(client: AsyncClient, mailbox: Mailbox, email: str) -> str:
    """Ask for a new password, and return the token of the link that comes."""
    answer = await client.post("/auth/password/forgot", json={"email": email})
    assert answer.status_code == 202, answer.text
    return (await mailbox.links(email, "reset-password"))[-1]


async def reset(client: AsyncClient, token: str, password: str = NEW_PASSWORD) -> Response:
    """Set a password by a link."""
    return await client.post("/auth/password/reset", json={"token": token, "new_password": password})


async def verify(client: AsyncClient, token: str) -> Response:
    """Verify an address by a link."""
    return await client.post("/auth/email/verify", json={"token": token})


def refused(answer: Response) -> bool:
    """Tell whether a link was refused in the one way in which links are, else whether it was taken."""
    assert answer.status_code in {200, 400}, answer.text
    if answer.status_code == 200:
        return False
    problem = answer.json()
    assert (problem["code"], problem["detail"]) == (
        "link_refused",
        "The link is unknown, expired or used up. Ask for a new one.",
    )
    return True
