"""The mails of news."""

from dataclasses import dataclass

from app.services.mailer.letters import Letter

NEWS = {"project.created": "New project"}
"""What of the events that are told by mail is said, by the event's action."""


@dataclass(frozen=True)
class NewsLetter(Letter):
    """What happened in a tenant, for members who want such mails."""

    template = "news"
    news: str
    title: str
    tenant: str
