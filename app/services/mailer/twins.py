"""Two mailers that need no server: products with the contract of every other mailer, not stand-ins."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

from app.services.mailer.mail import Mail
from app.utils.helpers import uuid7


class MemoryMailer:
    """Keeps what it is given, the latest last; for tests."""

    def __init__(self) -> None:
        self.sent: list[Mail] = []

    async def send(self, mail: Mail) -> None:
        """Keep a message."""
        self.sent.append(mail)

    def to(self, address: str) -> Sequence[Mail]:
        """Return what was sent to an address, oldest first."""
        return [mail for mail in self.sent if mail.to == address]


class FileMailer:
    """Writes each message into a folder, readable by its owner alone: a mail may carry a link that signs in.

    For `app dev`, and for whoever picks files up.
    """

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
