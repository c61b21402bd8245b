"""Passwords: argon2id, off the event loop, a bounded number at a time."""

import asyncio
import base64
import secrets
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from pwdlib.hashers.argon2 import Argon2Hasher

from app.config import settings
from app.exceptions import UnavailableError
from app.sections import AuthSettings

Result = TypeVar("Result")

QUEUE = 64
"""How many may wait for a thread before the next one is told to come back."""


class PasswordHasher:
    """Hashes and verifies passwords (argon2id, RFC 9106; parameters by OWASP's minimum unless settings say more).

    `auth.hash_workers` threads do the work, each with `auth.argon2_memory_kib` of memory; with `QUEUE` calls waiting
    the next one raises `UnavailableError`, so that a flood of sign-ins costs neither memory nor the event loop.
    """

    def __init__(self, config: AuthSettings) -> None:
        self.config = config
        self.waiting = 0
        self.threads = ThreadPoolExecutor(config.hash_workers, thread_name_prefix="argon2")

    @cached_property
    def hasher(self) -> Argon2Hasher:
        """The algorithm with its parameters."""
        return Argon2Hasher(
            time_cost=self.config.argon2_iterations,
            memory_cost=self.config.argon2_memory_kib,
            parallelism=self.config.argon2_parallelism,
        )

    @cached_property
    def decoy(self) -> str:
        """A hash that nothing has, in the present parameters: verified when there is no account, at the same cost.

        Its parts are random and nothing is computed, so that the first sign-in takes no longer either.
        """
        salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
        cost = f"m={self.config.argon2_memory_kib},t={self.config.argon2_iterations},p={self.config.argon2_parallelism}"
        return f"$argon2id$v=19${cost}${salt}${digest}"

    async def hash(self, password: str) -> str:
        """Return the PHC string of a password."""
        return await self.run(self.hasher.hash, normal_form(password))

    async def verify(self, password: str, stored: str | None) -> bool:
        """Tell whether the password is right; without a stored hash it takes as long and is False."""
        right = await self.run(self.hasher.verify, normal_form(password), stored or self.decoy)
        return right and stored is not None

    async def run(self, work: Callable[..., Result], *arguments: str) -> Result:
        """Do the work in a thread; raises `UnavailableError` when too many wait already."""
        if self.waiting >= QUEUE:
            raise UnavailableError("Too many sign-ins at once. Try again in a moment.")
        self.waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)
        finally:
            self.waiting -= 1


def normal_form(password: str) -> str:
    """Return the form in which a password is compared (NFKC): keyboards spell one text in several ways."""
    return unicodedata.normalize("NFKC", password)


passwords = PasswordHasher(settings.auth)
"""The process's one hasher, so that its bound is one bound."""
