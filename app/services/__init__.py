"""The outside world: for each part a Protocol, the real client, and twins for tests and a bare machine."""

from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from app.services.filesystem import FileStore, MemoryFiles
from app.services.mailer import Mailer, MemoryMailer


@runtime_checkable
class Connected(Protocol):
    """A client that keeps connections."""

    async def close(self) -> None:
        """Close them; it opens new ones when it is used again."""


@dataclass(frozen=True, slots=True)
class Services:
    """What of the outside world a Context brings; without more said, nothing leaves the process."""

    mailer: Mailer = field(default_factory=MemoryMailer)
    files: FileStore = field(default_factory=MemoryFiles)

    async def close(self) -> None:
        """Close the connections of every client that keeps some."""
        for client in (self.mailer, self.files):
            if isinstance(client, Connected):
                await client.close()
