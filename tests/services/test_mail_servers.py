"""What servers say when they do not take a mail, and what becomes of it."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.services.mailer import Mail, MailRefusedError, open_mailer
from app.services.mailer.smtp import SmtpMailer
from tests.services.posts import by_ses, by_smtp, post_office, read_all
from tests.support import free_port

SECONDS = 1.5


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """Run a mail server; yield its port, and where it writes."""
    folder = tmp_path_factory.mktemp("office")
    with post_office(folder) as port:
        yield port, folder


def mail_to(local: str) -> Mail:
    """Return a mail to somebody."""
    return Mail(f"{local}@example.com", "Hi", "text\n", "0b1c")


@pytest.mark.parametrize(("local", "said"), [("nobody", "550 5.1.1 nobody of that name"), ("spam", "554 5.7.1 we do")])
async def test_a_server_may_refuse_for_good(office: tuple[int, Path], local: str, said: str) -> None:
    """A recipient or a message that gets a 5xx is not tried again, and it is said why."""
    with pytest.raises(MailRefusedError, match=said):
        await open_mailer(by_smtp(office[0])).send(mail_to(local))


@pytest.mark.parametrize(("local", "said"), [("busy", "451 4.7.1 come again"), ("full", "452 4.3.1 the disk is full")])
async def test_a_server_may_be_busy(office: tuple[int, Path], local: str, said: str) -> None:
    """A 4xx is for now: OSError, which the outbox tries again."""
    with pytest.raises(OSError, match=said):
        await open_mailer(by_smtp(office[0])).send(mail_to(local))


async def test_a_server_that_hangs_is_left(office: tuple[int, Path]) -> None:
    """After `mail.timeout_seconds` nobody waits any more; the mail may have arrived, with an id that tells."""
    with pytest.raises(TimeoutError, match=r"did not take it in 1\.5 s"):
        await open_mailer(by_smtp(office[0], timeout_seconds=SECONDS)).send(mail_to("slow"))
    assert [one.message_id for one in read_all(office[1])] == ["<0b1c@example.com>"]


@pytest.mark.parametrize("kind", ["smtp", "ses"])
async def test_a_server_that_is_away_is_named(aws: None, kind: str) -> None:
    """Nobody listens: OSError, with what was tried."""
    port = free_port()
    config = by_smtp(port) if kind == "smtp" else by_ses(f"http://127.0.0.1:{port}")
    mailer = open_mailer(config)
    with pytest.raises(OSError, match=f"does not take mail now.*{port}"):
        await mailer.send(mail_to("a"))
    if kind == "ses":
        await mailer.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("lines", [b"421 not today\r\n", b"554 nobody at all\r\n", b"220 hi\r\n550 go away\r\n"])
async def test_what_is_said_before_a_mail_is_about_the_server(lines: bytes) -> None:
    """Whatever the greeting is, or the answer to EHLO, HELO or MAIL FROM: OSError, so that no mail is given up."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(lines)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        mailer = open_mailer(by_smtp(server.sockets[0].getsockname()[1], timeout_seconds=SECONDS))
        with pytest.raises(OSError, match="the mail server"):
            await mailer.send(mail_to("a"))


async def test_a_server_without_smtputf8_is_told_from_one_that_is_away() -> None:
    """It will never take an address that is beyond it."""
    left = asyncio.Event()

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hi\r\n")
        while await reader.readline():
            writer.write(b"250 old.test\r\n")
        writer.close()
        await writer.wait_closed()
        left.set()

    server = await asyncio.start_server(agree, "127.0.0.1", 0)
    async with server:
        mailer = open_mailer(by_smtp(server.sockets[0].getsockname()[1], timeout_seconds=5.0))
        with pytest.raises(MailRefusedError, match="cannot take this address"):
            await mailer.send(mail_to("用户"))
        await left.wait()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Make a certificate for 127.0.0.1 that nobody else has signed, and its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "post")])
    now, place = dt.datetime.now(dt.UTC), x509.SubjectAlternativeName([x509.DNSName("localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(place, critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem, encoding = folder / "cert.pem", serialization.Encoding.PEM
    pem.write_bytes(made.public_bytes(encoding))
    plain = serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    return str(pem), str(folder / "key.pem")


async def test_starttls_is_asked_for_and_checked(certificate: tuple[str, str], tmp_path: Path) -> None:
    """A mail goes to a server whose certificate is trusted; to no other, and to none that offers no TLS."""
    with post_office(tmp_path, *certificate) as port:
        config = by_smtp(port, smtp_tls="starttls").model_copy(update={"smtp_host": "localhost"})
        with pytest.raises(OSError, match=r"does not take mail now.*certificate"):
            await open_mailer(config).send(mail_to("a"))
        assert read_all(tmp_path) == []
        await SmtpMailer(config, ssl.create_default_context(cafile=certificate[0])).send(mail_to("a"))
    assert [one.to for one in read_all(tmp_path)] == ["a@example.com"]


async def test_a_server_that_hides_starttls_gets_nothing(office: tuple[int, Path]) -> None:
    """Whoever sits in between cannot strip the encryption off."""
    with pytest.raises(OSError, match="STARTTLS extension not supported"):
        await open_mailer(by_smtp(office[0], smtp_tls="starttls")).send(mail_to("stripped"))
    assert "stripped@example.com" not in [one.to for one in read_all(office[1])]


SAID = [
    (400, "MessageRejected", MailRefusedError),
    (400, "BadRequestException", MailRefusedError),
    (429, "TooManyRequestsException", OSError),
    (400, "SendingPausedException", OSError),
    (403, "ExpiredTokenException", OSError),
    (503, "ServiceUnavailable", OSError),
]


@asynccontextmanager
async def saying(errors: Sequence[tuple[int, str]]) -> AsyncIterator[str]:
    """Run something that answers each request with the next of these errors of AWS's; yield its address."""
    body, pending = b'{"message": "as it says"}', iter(errors)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status, code = next(pending)
        head = f"HTTP/1.1 {status} No\r\nx-amzn-ErrorType: {code}\r\ncontent-length: {len(body)}\r\n"
        writer.write(head.encode() + b"content-type: application/json\r\nconnection: close\r\n\r\n" + body)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_what_ses_says_is_told(aws: None) -> None:
    """What is about the mail is for good; limits, credentials and the service come right again. It is asked once."""
    async with saying([(status, code) for status, code, _ in SAID]) as address:
        mailer = open_mailer(by_ses(address, ses_configuration_set="mails"))
        for _, code, kind in SAID:
            with pytest.raises(kind, match=f"{code}: as it says"):
                await mailer.send(mail_to("a"))
        await mailer.close()  # type: ignore[attr-defined]
