"""One contract for every mailer that comes with the project, on its real server where it has one."""

import asyncio
import stat
from pathlib import Path

import pytest

from app.services.mailer import FileMailer, Mail, MailRefusedError, MemoryMailer
from tests.services.posts import SENDER, Arrived, Post, parsed


async def test_what_is_sent_arrives_in_order(post: Post) -> None:
    """Address, subject, text, HTML and id arrive as they were given, in any script; a lone dot ends nothing."""
    mails = [
        Mail("a@example.com", "Hello", "One line.\n"),
        Mail("b@example.com", "Grüße, 世界", "Zwei\n.\nZeilen: ß.\n", "0b1c", "<p>Zwei: ß.</p>\n" + "x" * 2000),
        Mail("c+d@example.com", "long " * 60, "text\n", "0b1c"),
    ]
    for mail in mails:
        await post.mailer.send(mail)
    wanted = [
        Arrived(one.to, one.subject.strip(), one.text, one.html, one.message_id and "<0b1c@example.com>")
        for one in mails
    ]
    assert [
        Arrived(one.to, one.subject.strip(), one.text, one.html.removesuffix("\n"), one.message_id)
        for one in post.arrived()
    ] == wanted


async def test_many_at_once_arrive_once_each(post: Post) -> None:
    """Any number may be under way."""
    mails = [Mail(f"{number}@example.com", "Hi", "text\n", f"id-{number}") for number in range(20)]
    await asyncio.gather(*map(post.mailer.send, mails))
    assert sorted(one.to for one in post.arrived()) == sorted(mail.to for mail in mails)


HOSTILE = [
    ("a@example.com{}Bcc: b@x.y", "Hi", ""),
    ("a@example.com", "Hi{}Bcc: b@x.y", ""),
    ("a@example.com", "Hi{}{}<script>", ""),
    ("a@example.com", "Hi", "0b1c{}Bcc: b@x.y"),
    ("{}", "Hi", ""),
]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_break_makes_no_header(end: str) -> None:
    """What could become a second header is no mail at all, at its end too; a text may have lines."""
    for to, subject, message_id in HOSTILE:
        with pytest.raises(ValueError, match="line break"):
            Mail(to.format(end), subject.format(end, end), "", message_id.format(end))
    assert Mail("a@example.com", "Hi", f"one{end}two").text == f"one{end}two"


@pytest.mark.parametrize(
    "to",
    [
        "",
        "a",
        "a@",
        "@b",
        "a@b, c@d",
        "a@b;c@d",
        "a@b c@d",
        "Name <a@b>",
        "<a@b>",
        "a@b>",
        '"a b"@c',
        "a@b@c",
        "a(c)@b",
        "a:b@c;",
        "a@b\0",
        "@c:a@b",
        "a@[127.0.0.1]",
        "a\\@b@c",
        "=?utf-8?q?a=0D=0ABcc?=@b",
    ],
)
def test_only_one_plain_address_is_one(to: str) -> None:
    """Nothing that a mail program or a server could read as two, or as something else."""
    with pytest.raises(ValueError, match="not one plain address"):
        Mail(to, "Hi", "")


@pytest.mark.parametrize("message_id", ["a@b", "a b", "a>", "<a", "a\0", "ä", "a,b"])
def test_an_id_is_plain(message_id: str) -> None:
    """It cannot end the header's brackets."""
    with pytest.raises(ValueError, match="message_id"):
        Mail("a@example.com", "Hi", "", message_id)


async def test_a_text_makes_no_header(post: Post) -> None:
    """What looks like headers, parts or the end of a message stays text, in both bodies and in the subject."""
    hostile = "\nBcc: b@x.y\n\n--boundary\n.\nMAIL FROM:<x@y>\nFrom me\n"
    subject = "=?utf-8?q?x=0D=0ABcc:_b=40x.y?= =?utf-8?b?DQpCY2M6IGJAeC55?="
    await post.mailer.send(Mail("a@example.com", subject, hostile, html=hostile))
    [found] = post.arrived()
    assert (found.to, found.subject, found.text, found.html) == ("a@example.com", subject, hostile, hostile)


async def test_an_international_domain_is_taken(post: Post) -> None:
    """It goes out in the form that every server knows."""
    await post.mailer.send(Mail("a@faß.例え.テスト", "Hi", "text\n"))
    assert [one.to for one in post.arrived()] == ["a@xn--fa-hia.xn--r8jz45g.xn--zckzah"]


async def test_an_international_address_is_taken_or_refused(post: Post) -> None:
    """It arrives as it was given; SES knows no such addresses, and says so before it is asked."""
    mail = Mail("用户@例え.テスト", "Hi", "text\n")
    if post.kind == "ses":
        with pytest.raises(MailRefusedError, match="letters beyond ASCII"):
            await post.mailer.send(mail)
    else:
        await post.mailer.send(mail)
        assert [one.to for one in post.arrived()] == [mail.to]


@pytest.mark.parametrize("sender", [SENDER, "no-reply@b\u00fccher.example", "nobody"])
def test_a_message_keeps_its_id(sender: str) -> None:
    """The same id is the same Message-ID, at the sender's domain; without one there is no such header."""
    mails = [Mail("a@example.com", "Hi", "text", one) for one in ("0b1c", "0b1c", "")]
    written = [parsed(bytes(mail.as_message(sender))) for mail in mails]
    domain = {SENDER: "example.com", "nobody": "localhost"}.get(sender, "xn--bcher-kva.example")
    assert [message["Message-ID"] for message in written] == [f"<0b1c@{domain}>"] * 2 + [None]
    assert [message["X-Entry-ID"] for message in written] == ["0b1c", "0b1c", None]


async def test_a_file_is_its_owners_alone(tmp_path: Path) -> None:
    """A mail may hold a link that signs in: nobody else on the machine reads it."""
    await FileMailer(tmp_path / "mails", SENDER).send(Mail("a@example.com", "Hi", "text"))
    [path] = (tmp_path / "mails").iterdir()
    assert (stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)) == (0o600, 0o700)


async def test_memory_shows_what_an_address_got() -> None:
    """Oldest first, as it was given."""
    memory, mails = MemoryMailer(), [Mail(to, "Hi", "text") for to in ("a@example.com", "b@example.com")]
    for mail in mails:
        await memory.send(mail)
    assert (memory.sent, memory.to("b@example.com")) == (mails, mails[1:])
