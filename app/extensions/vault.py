"""Looking after Vault while a process runs: its token lives on, and who rotated a secret reads in the log what to do.

Settings are read at boot and stay as they were. So whatever fails here is told in the log and stops nothing: the
process goes on with what it read, and only its next start needs Vault.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.config import Settings
from app.extensions.logs import get_logger

if TYPE_CHECKING:  # it imports hvac, which only those need who have a Vault
    from app.vault import Vault

log = get_logger(__name__)
SHORTEST = 1.0
"""Seconds between two looks at least, when a token is about to end."""


@dataclass
class Keeper:
    """Renews the token of a Vault, and looks whether its secret is still the one that was read."""

    vault: "Vault"
    pause: float
    """Seconds between two looks, at most."""
    failed: bool = False
    told: int = 0
    """The version of the secret that was told of last."""

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            left = self.vault.left
            await asyncio.sleep(min(self.pause, max(SHORTEST, left / 3)) if left else self.pause)
            await self.look()

    async def look(self) -> None:
        """Renew the token and compare the secret's version, once."""
        try:
            version = await asyncio.to_thread(self.renewed)
        except ConnectionError as error:
            self.failed = True
            if self.vault.left:
                log.warning("vault_token_not_renewed", error=str(error), seconds_left=self.seconds_left())
            else:
                log.error("vault_token_ended", error=str(error), advice="the next start needs a new token")  # noqa: TRY400
            return
        if self.failed:
            log.warning("vault_token_renewed_again", seconds_left=self.seconds_left())
        self.failed = False
        if version not in {self.vault.version, self.told}:
            log.warning("vault_secret_rotated", place=self.vault.place, version=version, advice="restart to use it")
            self.told = version

    def renewed(self) -> int:
        """Renew the token, and return the version of the secret that Vault has now; blocks."""
        self.vault.renew()
        return self.vault.read()[1]

    def seconds_left(self) -> int | None:
        """Return how long the token still lives; None for one that never ends."""
        return round(self.vault.left) if self.vault.left < float("inf") else None


@asynccontextmanager
async def looking_after_vault(config: Settings) -> AsyncIterator[None]:
    """Keep the token that the settings were read with alive while this is open; nothing to do without a Vault."""
    if config.opened is None:
        yield
        return
    keeping = asyncio.create_task(Keeper(config.opened, config.vault.look_seconds).run())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.wait({keeping})
