"""The mails of news, in words."""

from app.config import settings
from app.services.mailer import Mail

NEWS = {"project.created": "New project"}
"""What of the events that are told by mail is said, by the event's action."""

TEXT = """\
{news} in "{tenant}" on {project}:

    {title}

You get this mail because you asked for it. Switch such mails off in your notification preferences there.
"""


def news_mail(email: str, kind: str, title: str, tenant: str, message_id: str) -> Mail:
    """Return the mail that tells of an event; the message's id is the same however often it is sent."""
    news = NEWS[kind]
    text = TEXT.format(news=news, tenant=one_line(tenant), project=settings.project_name, title=one_line(title))
    return Mail(email, f"{news}: {one_line(title)}", text, message_id)


def one_line(text: str) -> str:
    """Return a text without line breaks, so that nobody writes lines of a mail."""
    return " ".join(text.split())
