"""Every mailer with somebody behind it who takes the mail, and shows what arrived."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from httpx2 import get
from moto.server import ThreadedMotoServer
from moto.ses.models import ses_backends

from app.sections import MailSettings
from app.services.mailer import FileMailer, Mailer, MemoryMailer, open_mailer

SENDER = "Groundplan <no-reply@example.com>"
REGION = "eu-central-1"
ACCOUNT = "123456789012"
"""Whose everything at moto is."""


@dataclass(frozen=True)
class Arrived:
    """What a reader sees of a mail."""

    to: str
    subject: str
    text: str
    html: str
    message_id: str


@dataclass(frozen=True)
class Post:
    """A mailer, what arrived by it, oldest first, and how that is forgotten."""

    kind: str
    mailer: Mailer
    arrived: Callable[[], Sequence[Arrived]]
    clear: Callable[[], None]


def parsed(content: bytes) -> EmailMessage:
    """Return a message as a mail program reads it."""
    message: Any = message_from_bytes(content, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def read(content: bytes) -> Arrived:
    """Return what a mail program would show."""
    message = parsed(content)
    assert message["From"] == SENDER
    assert message["Date"]
    assert not message.defects
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    shown = [part.get_content().replace("\r\n", "\n") if part else "" for part in (text, html)]
    message_id = str(message["Message-ID"] or "")
    return Arrived(str(message["To"]), str(message["Subject"]), shown[0], shown[1], message_id)


def read_all(folder: Path) -> list[Arrived]:
    """Return what is in a folder, oldest first."""
    return [read(path.read_bytes()) for path in sorted(folder.glob("*.eml"))]


def read_memory(mailer: MemoryMailer) -> list[Arrived]:
    """Return what was kept, as it would be written."""
    return [read(bytes(mail.as_message(SENDER))) for mail in mailer.sent]


@contextmanager
def post_office(folder: Path, *certificate: str) -> Iterator[int]:
    """Run a mail server that writes into a folder; yield its port."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "tests.services.post_office", str(folder), *certificate]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603 - our own
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def by_smtp(port: int, **more: Any) -> MailSettings:
    """Return settings for a server on this machine."""
    changes = {"smtp_tls": "none", **more}
    return MailSettings(transport="smtp", sender=SENDER, smtp_host="127.0.0.1", smtp_port=port, **changes)


def by_ses(address: str, **more: Any) -> MailSettings:
    """Return settings for something that speaks SES's API."""
    return MailSettings(transport="ses", sender=SENDER, ses_region=REGION, ses_endpoint=address, **more)


@contextmanager
def moto() -> Iterator[str]:
    """Serve the API of SES from this process, for our sender; yield its address."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    backend().verify_email_address("no-reply@example.com")
    host, port = server.get_host_and_port()
    # The first request has it import what it needs.
    assert get(f"http://{host}:{port}/moto-api/", timeout=60, trust_env=False).is_success
    yield f"http://{host}:{port}"
    server.stop()


def backend() -> Any:
    """Return what SES has, and was given."""
    return ses_backends[ACCOUNT][REGION]


def read_taken() -> list[Arrived]:
    """Return what a reader would see of what SES was given."""
    return [read(message.raw_data.encode()) for message in backend().sent_messages]


def empty(folder: Path) -> None:
    """Forget what is in a folder."""
    for path in folder.glob("*.eml"):
        path.unlink()


@asynccontextmanager
async def post_by(kind: str, folder: Path, ses: str) -> AsyncIterator[Post]:
    """Open the mailer of a kind; `ses` is the address of SES's API."""
    if kind == "memory":
        memory = MemoryMailer()
        yield Post(kind, memory, lambda: read_memory(memory), memory.sent.clear)
    elif kind == "file":
        yield Post(kind, FileMailer(folder, SENDER), lambda: read_all(folder), lambda: empty(folder))
    elif kind == "smtp":
        with post_office(folder) as port:
            yield Post(kind, open_mailer(by_smtp(port)), lambda: read_all(folder), lambda: empty(folder))
    else:
        mailer: Any = open_mailer(by_ses(ses))
        yield Post(kind, mailer, read_taken, backend().sent_messages.clear)
        await mailer.close()
