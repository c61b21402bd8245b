"""The mails of tenants."""

from dataclasses import dataclass

from app.services.mailer.letters import Letter


@dataclass(frozen=True)
class InvitationLetter(Letter):
    """The link that accepts an invitation, for `days` days."""

    template = "invitation"
    keeps_id = False
    tenant: str
    role: str
    days: int
    token: str
