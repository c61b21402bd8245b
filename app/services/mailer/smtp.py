"""Mail by SMTP, to a server that takes it for delivery (submission, RFC 6409)."""

import asyncio
import ssl
from contextlib import suppress
from email.policy import SMTPUTF8
from email.utils import parseaddr

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from app.sections import MailSettings
from app.services.mailer.mail import Mail, MailRefusedError, on_the_wire

FOR_GOOD = 500
"""From this code on a reply says that to try again is useless (RFC 5321, 4.2.1)."""

FAREWELL = 1.0
"""Seconds that a server has to say goodbye: it has taken the mail, whatever it says."""


class SmtpMailer:
    """Hands each mail over on a connection of its own; any number at once.

    `mail.timeout_seconds` bounds all of it, the connection included. A reply to a recipient or a message decides about
    that mail; to anything before (the greeting, STARTTLS, the sign-in, the sender) about the server, which is tried
    again.
    """

    def __init__(self, config: MailSettings, tls: ssl.SSLContext | None = None) -> None:
        self.config, self.tls = config, tls
        self.place = f"the mail server {config.smtp_host}:{config.smtp_port}"

    async def send(self, mail: Mail) -> None:
        """Hand a message over; raises OSError or `MailRefusedError`."""
        try:
            async with asyncio.timeout(self.config.timeout_seconds):
                client = self.client()
                try:
                    await self.hand_over(client, mail)
                except BaseException:
                    client.close()
                    raise
        except SMTPRecipientsRefused as error:
            raise self.verdict(error.recipients[0]) from None
        except SMTPDataError as error:
            raise self.verdict(error) from None
        except TimeoutError:
            raise TimeoutError(f"{self.place} did not take it in {self.config.timeout_seconds:g} s") from None
        except (SMTPException, OSError) as error:
            raise OSError(f"{self.place} does not take mail now: {error}") from error
        with suppress(SMTPException, OSError):
            await client.quit(timeout=FAREWELL)
        client.close()

    def client(self) -> SMTP:
        """Return what is not connected yet."""
        config = self.config
        password = config.smtp_password.get_secret_value()
        return SMTP(
            hostname=config.smtp_host,
            port=config.smtp_port,
            username=config.smtp_user or None,
            password=password or None,
            use_tls=config.smtp_tls == "implicit",
            start_tls=config.smtp_tls == "starttls",
            tls_context=self.tls,
            timeout=config.timeout_seconds,
        )

    async def hand_over(self, client: SMTP, mail: Mail) -> None:
        """Connect, sign in and send; a local part beyond ASCII needs a server that knows SMTPUTF8."""
        await client.connect()
        message, sender = mail.as_message(self.config.sender), on_the_wire(parseaddr(self.config.sender)[1])
        if mail.to.rpartition("@")[0].isascii():
            await client.sendmail(sender, on_the_wire(mail.to), bytes(message))
        else:
            options = ["SMTPUTF8", "BODY=8BITMIME"]
            try:
                await client.sendmail(sender, mail.to, message.as_bytes(policy=SMTPUTF8), mail_options=options)
            except SMTPNotSupported as error:
                raise MailRefusedError(f"{self.place} cannot take this address: {error}") from None

    def verdict(self, reply: SMTPResponseException) -> Exception:
        """Return what a reply about one mail means."""
        said = f"{reply.code} {' '.join(reply.message.split())}"
        if reply.code >= FOR_GOOD:
            return MailRefusedError(f"{self.place} refuses it: {said}")
        return OSError(f"{self.place} does not take it now: {said}")
