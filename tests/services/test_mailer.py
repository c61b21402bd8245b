"""One contract for every mailer that comes with the project."""

import stat
from collections.abc import Callable, Sequence
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest

from app.services.mailer import FileMailer, Mail, Mailer, MemoryMailer

SENDER = "Groundplan <no-reply@example.com>"
Sent = Callable[[], Sequence[tuple[str, str, str]]]


@pytest.fixture(params=["memory", "file"])
def post(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Mailer, Sent]:
    """Return a mailer, and what shows the address, subject and text of each mail that it took."""
    if request.param == "memory":
        memory = MemoryMailer()
        return memory, lambda: [(mail.to, mail.subject, mail.text) for mail in memory.sent]
    return FileMailer(tmp_path / "mails", SENDER), lambda: [read(path) for path in sorted(tmp_path.glob("mails/*"))]


def read(path: Path) -> tuple[str, str, str]:
    """Return what a mail program would show of a file."""
    message = message_from_bytes(path.read_bytes(), policy=default)
    assert message["From"] == SENDER
    return message["To"], message["Subject"], message.get_content().replace("\r\n", "\n")


def sent_files(folder: Path) -> list[Path]:
    """Return what a mailer left in a folder, oldest first."""
    return sorted(folder.iterdir())


async def test_what_is_sent_arrives_in_order(post: tuple[Mailer, Sent]) -> None:
    """Address, subject and text arrive as they were given, in any script."""
    mailer, sent = post
    mails = [("a@example.com", "Hello", "One line.\n"), ("b@example.com", "Grüße, 世界", "Zwei\nZeilen: ß.\n")]
    for mail in mails:
        await mailer.send(Mail(*mail))
    assert sent() == mails


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_break_makes_no_header(end: str) -> None:
    """What could become a second header is no mail at all, at its end too; a text may have lines."""
    for to, subject in ((f"a@example.com{end}Bcc: b@x.y", "Hi"), ("a@example.com", f"Hi{end}Bcc: b@x.y"), (end, "Hi")):
        with pytest.raises(ValueError, match="line break"):
            Mail(to, subject, "")
    assert Mail("a@example.com", "Hi", f"one{end}two").text == f"one{end}two"


async def test_an_address_of_any_script_is_taken(post: tuple[Mailer, Sent]) -> None:
    """An international address arrives as it was given."""
    mailer, sent = post
    mail = ("用户@例え.テスト", "Hi", "text\n")
    await mailer.send(Mail(*mail))
    assert sent() == [mail]


@pytest.mark.parametrize("sender", [SENDER, "no-reply@b\u00fccher.example", "nobody"])
async def test_a_message_keeps_its_id(tmp_path: Path, sender: str) -> None:
    """The same id is the same Message-ID, at the sender's domain; without one there is no such header."""
    memory, mails = MemoryMailer(), [Mail("a@example.com", "Hi", "text", one) for one in ("0b1c", "0b1c", "")]
    for mail in mails:
        await FileMailer(tmp_path / "mails", sender).send(mail)
        await memory.send(mail)
    assert memory.sent == mails
    written = [message_from_bytes(path.read_bytes(), policy=default) for path in sent_files(tmp_path / "mails")]
    domain = {SENDER: "example.com", "nobody": "localhost"}.get(sender, "xn--bcher-kva.example")
    assert [message["Message-ID"] for message in written] == [f"<0b1c@{domain}>"] * 2 + [None]
    with pytest.raises(ValueError, match="line break"):
        Mail("a@example.com", "Hi", "", "0b1c>\r\nBcc: <b@x.y")


async def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """A mail may hold a link that signs in: nobody else on the machine reads it."""
    await FileMailer(tmp_path / "mails", SENDER).send(Mail("a@example.com", "Hi", "text"))
    [path] = sent_files(tmp_path / "mails")
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)
