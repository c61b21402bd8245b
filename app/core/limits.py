"""How often callers may do what: the rules of the settings, and who is counted by them."""

import uuid
from typing import Protocol

from app.config import settings
from app.exceptions import RateLimitedError
from app.extensions.limit_storages import MemoryStorage
from app.extensions.ratelimit import Ask, RateLimiter, Rule
from app.sections import LimitSettings
from app.utils.addresses import network_of

MEMBER_SECONDS = 600
"""How long a caller who was let into a tenant counts as one of its people."""


class Claimant(Protocol):
    """Who says to be calling, as far as the headers tell."""

    @property
    def actor_id(self) -> uuid.UUID | None:
        """The person, or None for an open operation."""

    @property
    def tenant_id(self) -> uuid.UUID | None:
        """The tenant that was selected; whether the person belongs to it is not known yet."""

    @property
    def key_id(self) -> uuid.UUID | None:
        """The API key, if it was one."""


class RateLimits:
    """The rules by their names in the settings, and the limiter that counts."""

    def __init__(self, rates: LimitSettings = settings.limits, limiter: RateLimiter | None = None) -> None:
        self.limiter = limiter or RateLimiter()
        self.rules = {name: Rule.of(name, rate) for name, rate in rates}
        self.members = MemoryStorage()

    async def take_call(self, claim: Claimant) -> None:
        """Count a call for its actor, key and tenant at once, or raise `RateLimitedError`.

        A tenant is counted for people who were let into it lately, or a stranger could use up its calls.
        """
        asks: list[Ask] = []
        if claim.actor_id:
            asks.append((self.rules["actor"], str(claim.actor_id)))
        if claim.key_id:
            asks.append((self.rules["key"], str(claim.key_id)))
        if claim.tenant_id and await self.members.get(membership(claim)):
            asks.append((self.rules["tenant"], str(claim.tenant_id)))
        await self.limiter.take(*asks)

    async def let_in(self, claim: Claimant) -> None:
        """Remember that the gate found the caller to be of the tenant."""
        if claim.tenant_id and not await self.members.get(membership(claim)):
            await self.members.incr(membership(claim), MEMBER_SECONDS)

    async def may_note_denial(self, actor_id: uuid.UUID) -> bool:
        """Count a refused attempt of an actor; tell whether it is one of those that the audit has room for."""
        try:
            await self.limiter.take((self.rules["denied"], str(actor_id)))
        except RateLimitedError:
            return False
        return True

    async def take_mail(self, purpose: str, recipient: str, address: str) -> None:
        """Count a mail that somebody at `address` wants sent, or raise `RateLimitedError`.

        For each purpose ("forgot", say) by its recipient as asked for from one address, by its recipient whoever asks,
        and by the address: so that nobody shuts off another's mail with a few calls. It comes before looking whether
        there is such an account, so that the answer tells nothing.
        """
        asked_from = network_of(address)
        await self.limiter.take(
            (self.rules["mail"], f"{purpose} {recipient} {asked_from}"),
            (self.rules["mail_recipient"], f"{purpose} {recipient}"),
            (self.rules["mail_address"], f"{purpose} {asked_from}"),
        )

    async def may_mail(self, purpose: str, recipient: str) -> bool:
        """Count a mail that follows from work and not from a call; tell whether its recipient has room for it.

        The address was entered by people of some tenant, who need not know its reader: it is counted across all.
        """
        try:
            await self.limiter.take((self.rules["mail_recipient"], f"{purpose} {recipient}"))
        except RateLimitedError:
            return False
        return True


def membership(claim: Claimant) -> str:
    """Return the key of a person, or of an API key, in a tenant."""
    return f"{claim.actor_id or claim.key_id} {claim.tenant_id}"
