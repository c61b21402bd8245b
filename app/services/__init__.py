"""The outside world: for each part a Protocol, the real client, and twins for tests and a bare machine."""

from dataclasses import dataclass, field

from app.services.filesystem import FileStore, MemoryFiles
from app.services.mailer import Mailer, MemoryMailer


@dataclass(frozen=True, slots=True)
class Services:
    """What of the outside world a Context brings; without more said, nothing leaves the process."""

    mailer: Mailer = field(default_factory=MemoryMailer)
    files: FileStore = field(default_factory=MemoryFiles)
