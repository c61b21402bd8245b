"""A mail server in a process of its own; the local part of a recipient says how it answers.

Run as `python -m tests.services.post_office FOLDER [CERTIFICATE [KEY]]`; it prints the port that it listens on, and
writes each message into the folder. With a certificate it offers STARTTLS, and takes nothing before.
"""

import asyncio
import ssl
import sys
from itertools import count
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session

REPLIES = {
    "nobody": "550 5.1.1 nobody of that name",
    "busy": "451 4.7.1 come again later",
}
"""What is said to a recipient."""

VERDICTS = {"spam": "554 5.7.1 we do not want it", "full": "452 4.3.1 the disk is full"}
"""What is said to a message for a recipient."""


class Desk:
    """Takes messages, numbered."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.numbers = folder, count()

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        """Take a recipient, or not."""
        reply = REPLIES.get(address.partition("@")[0])
        if reply is None:
            envelope.rcpt_tos.append(address)
        return reply or "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a message, or not; `slow` never learns that it was taken."""
        [address] = envelope.rcpt_tos
        local = address.partition("@")[0]
        if local in VERDICTS:
            return VERDICTS[local]
        assert isinstance(envelope.content, bytes)
        path = self.folder / f"{next(self.numbers):04}.partial"
        path.write_bytes(f"X-Envelope: {envelope.mail_from} {address}\r\n".encode() + envelope.content)
        path.rename(path.with_suffix(".eml"))
        if local == "slow":
            await asyncio.sleep(60)
        return "250 OK"


async def main(folder: Path, certificate: str = "", key: str = "") -> None:
    """Serve until somebody ends the process."""
    tls = None
    if certificate:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(certificate, key)
    desk, loop = Desk(folder), asyncio.get_running_loop()

    def answer() -> SMTP:
        return SMTP(
            desk, hostname="post.test", enable_SMTPUTF8=True, tls_context=tls, require_starttls=bool(tls), loop=loop
        )

    server = await loop.create_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 - whoever started it reads it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:]))
