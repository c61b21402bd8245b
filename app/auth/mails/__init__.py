"""The mails of the door.

None names the person: who registers with somebody else's address could write into a mail of ours otherwise.
"""

from dataclasses import dataclass

from app.services.mailer.letters import Letter


@dataclass(frozen=True)
class ResetLetter(Letter):
    """The link that sets a new password."""

    template = "reset"
    keeps_id = False
    token: str


@dataclass(frozen=True)
class VerificationLetter(Letter):
    """The link that verifies an address."""

    template = "verification"
    keeps_id = False
    token: str


@dataclass(frozen=True)
class ChangedLetter(Letter):
    """The notice that a password is another now."""

    template = "changed"
