"""Mail by Amazon SES: its API, version 2, with messages that are written here."""

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError

from app.sections import MailSettings
from app.services.mailer.mail import Mail, MailRefusedError, on_the_wire

if TYPE_CHECKING:
    from types_aiobotocore_sesv2.client import SESV2Client

FOR_GOOD = frozenset({"MessageRejected", "BadRequestException"})
"""Errors that are about one mail. All others are about the account, its limits or the service, and pass."""


class SesMailer:
    """Sends through one client, which is made by the first mail and keeps connections until it is closed.

    Credentials come from where AWS's tools look for them. Nothing is tried twice here: the outbox does that.
    """

    def __init__(self, config: MailSettings) -> None:
        self.config = config
        self.opening = asyncio.Lock()
        self.resources = AsyncExitStack()
        self.client: SESV2Client | None = None

    async def send(self, mail: Mail) -> None:
        """Hand a message over; raises OSError or `MailRefusedError`."""
        address = on_the_wire(mail.to)
        if not address.isascii():
            raise MailRefusedError("Amazon SES takes no address with letters beyond ASCII before its @")
        request: dict[str, Any] = {
            "Destination": {"ToAddresses": [address]},
            "Content": {"Raw": {"Data": bytes(mail.as_message(self.config.sender))}},
        }
        if self.config.ses_configuration_set:
            request["ConfigurationSetName"] = self.config.ses_configuration_set
        try:
            client = await self.open()
            async with asyncio.timeout(self.config.timeout_seconds):
                await client.send_email(**request)
        except ClientError as error:
            raise verdict(error) from None
        except TimeoutError:
            raise TimeoutError(f"Amazon SES did not take it in {self.config.timeout_seconds:g} s") from None
        except (BotoCoreError, OSError) as error:
            raise OSError(f"Amazon SES does not take mail now: {error}") from error

    async def open(self) -> "SESV2Client":
        """Return the client; of many that want it first, one makes it."""
        async with self.opening:
            if self.client is not None:
                return self.client
            seconds = self.config.timeout_seconds
            once = {"mode": "standard", "total_max_attempts": 1}
            made = get_session().create_client(
                "sesv2",
                region_name=self.config.ses_region or None,
                endpoint_url=self.config.ses_endpoint or None,
                config=AioConfig(connect_timeout=seconds, read_timeout=seconds, retries=once),
            )
            client: SESV2Client = await self.resources.enter_async_context(made)
            self.client = client
            return client

    async def close(self) -> None:
        """Close the connections; the next mail opens new ones."""
        self.client = None
        await self.resources.aclose()


def verdict(error: ClientError) -> Exception:
    """Return what an answer of the service means."""
    found = error.response.get("Error", {})
    said = f"{found.get('Code', 'no code')}: {found.get('Message', '')}"
    if found.get("Code") in FOR_GOOD:
        return MailRefusedError(f"Amazon SES refuses it: {said}")
    return OSError(f"Amazon SES does not take it now: {said}")
