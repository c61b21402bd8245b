"""Mail: what a message is, who can send one, and two mailers that need no server.

`MemoryMailer` keeps messages for tests; `FileMailer` writes each as an .eml file, for `app dev` and for whoever picks
files up. Both are products with the contract of every other mailer, not stand-ins.
"""

import asyncio
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from pathlib import Path
from typing import Protocol

from app.utils.helpers import uuid7

LINE_BREAK = re.compile(r"[\n\v\f\r\x1c-\x1e\x85\u2028\u2029]")
"""Whatever ends a line for anybody who reads headers."""


@dataclass(frozen=True, slots=True)
class Mail:
    """A message of plain text to one address; raises ValueError for a line break in address or subject.

    `message_id` says that it is the same message when it is sent again (the left half of RFC 5322's Message-ID).
    """

    to: str
    subject: str
    text: str
    message_id: str = ""

    def __post_init__(self) -> None:
        """Refuse what would become a header of its own, whichever mailer takes the message."""
        for name, value in (("to", self.to), ("subject", self.subject), ("message_id", self.message_id)):
            if LINE_BREAK.search(value):
                raise ValueError(f"a line break in `{name}` of a mail")

    def as_message(self, sender: str) -> EmailMessage:
        """Return the message (RFC 5322)."""
        message = EmailMessage(policy=SMTP)
        message["From"], message["To"], message["Subject"] = sender, self.to, self.subject
        if self.message_id:
            _, at, domain = parseaddr(sender)[1].rpartition("@")
            message["Message-ID"] = f"<{self.message_id}@{domain.encode('idna').decode() if at else 'localhost'}>"
        message.set_content(self.text)
        return message


class Mailer(Protocol):
    """Sends mail."""

    async def send(self, mail: Mail) -> None:
        """Hand a message over; raises OSError when nobody takes it. Sending twice sends twice."""


class MemoryMailer:
    """Keeps what it is given, the latest last."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        """Keep a message."""
        self.sent.append(mail)

    def to(self, address: str) -> Sequence[Mail]:
        """Return what was sent to an address, oldest first."""
        return [mail for mail in self.sent if mail.to == address]


class FileMailer:
    """Writes each message into a folder, readable by its owner alone: a mail may carry a link that signs in."""

    def __init__(self, folder: Path, sender: str) -> None:
        self.folder, self.sender = folder, sender

    async def send(self, mail: Mail) -> None:
        """Write a message as `<time-ordered id>.eml`, whole or not at all."""
        await asyncio.to_thread(self.write, bytes(mail.as_message(self.sender)))

    def write(self, content: bytes) -> None:
        """Write a file beside its final name, then move it there."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.folder / f"{uuid7()}.eml"
        partial = path.with_suffix(".partial")
        with os.fdopen(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(content)
        partial.rename(path)
