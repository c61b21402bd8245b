"""The mails of billing."""

from dataclasses import dataclass

from app.services.mailer.letters import Letter


@dataclass(frozen=True)
class ReminderLetter(Letter):
    """A payment failed, for the customer; `retry_on` is the day of the next attempt, empty when there is none."""

    template = "reminder"
    invoice: str
    tenant: str
    total: str
    failure: str
    retry_on: str
