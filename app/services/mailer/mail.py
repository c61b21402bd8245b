"""What a mail is, what it becomes on the wire, and the contract of whoever sends it."""

import re
from dataclasses import dataclass
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, formataddr, parseaddr
from typing import Protocol

import idna

from app.exceptions import HopelessError
from app.utils.helpers import utcnow

LINE_BREAK = re.compile(r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
"""Whatever ends a line for anybody who reads headers."""

PLAIN = r'[^\s@"(),:;<>\[\]\\\x00-\x1f\x7f-\x9f]+'
ADDRESS = re.compile(f"{PLAIN}@{PLAIN}")
"""One address, without a name, a comment, a route or quotes: nothing that a header could read as two."""

ENCODED = "=?"
"""How an encoded word begins (RFC 2047); Python's library decodes one that it is given, also to a line break."""

LONGEST_PLAIN = 60
"""Characters of a subject that need not be folded."""

MESSAGE_ID = re.compile(r"[\w.-]*", re.ASCII)


class MailRefusedError(HopelessError):
    """Whoever should take the mail refuses it for good: to send it again would change nothing."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message to one address, in plain text and, unless `html` is empty, in HTML as well.

    `message_id` says that it is the same message when it is sent again (the left half of RFC 5322's Message-ID).
    Raises ValueError for whatever could become a header or a recipient of its own.
    """

    to: str
    subject: str
    text: str
    message_id: str = ""
    html: str = ""

    def __post_init__(self) -> None:
        """Refuse what would write headers, whichever mailer takes the message."""
        for name, value in (("to", self.to), ("subject", self.subject), ("message_id", self.message_id)):
            if LINE_BREAK.search(value):
                raise ValueError(f"a line break in `{name}` of a mail")
        if ENCODED in self.to or not ADDRESS.fullmatch(self.to):
            raise ValueError("`to` of a mail is not one plain address")
        if not MESSAGE_ID.fullmatch(self.message_id):
            raise ValueError("`message_id` of a mail is made of letters, digits, dots and dashes")

    def as_message(self, sender: str) -> EmailMessage:
        """Return the message (RFC 5322).

        X-Entry-ID repeats the id, because Amazon SES writes a Message-ID of its own over ours.
        """
        name, address = parseaddr(sender)
        message = EmailMessage(policy=SMTP)
        message["From"] = formataddr((name, on_the_wire(address))) if name else on_the_wire(address)
        message["To"] = on_the_wire(self.to)
        # Not by assignment, which would decode what somebody wrote as an encoded word, line breaks and all.
        message.set_raw("Subject", encoded(self.subject))
        message["Date"] = format_datetime(utcnow())
        message["Auto-Submitted"] = "auto-generated"
        if self.message_id:
            domain = on_the_wire(address).rpartition("@")[2] if "@" in address else "localhost"
            message["Message-ID"] = f"<{self.message_id}@{domain}>"
            message["X-Entry-ID"] = self.message_id
        message.set_content(self.text)
        if self.html:
            message.add_alternative(self.html, subtype="html")
        return message


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, mail: Mail) -> None:
        """Hand a message over. Sending twice sends twice.

        Raises OSError when nobody takes it now, and `MailRefusedError` when it is refused for good.
        """


def encoded(subject: str) -> str:
    """Return a subject as it stands in a header; a reader sees the very characters that were given."""
    plain = subject.isascii() and ENCODED not in subject and len(subject) <= LONGEST_PLAIN
    return subject if plain else Header(subject, "utf-8", header_name="Subject").encode()


def on_the_wire(address: str) -> str:
    """Return an address with its domain in ASCII (IDNA), which every server takes.

    One with a local part beyond ASCII stays as it is: it can go by SMTPUTF8 (RFC 6531) alone. Raises
    `MailRefusedError` for a domain that cannot be.
    """
    local, at, domain = address.rpartition("@")
    if address.isascii() or not local.isascii():
        return address
    try:
        return f"{local}{at}{idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError as error:
        raise MailRefusedError(f"no domain can have this name: {error}") from None
