"""How many passwords may be tried, so that guessing is hopeless and nobody can shut another person out."""

from app.core.context import Context
from app.extensions.ratelimit import Ask
from app.utils.addresses import network_of

FAMILIAR_SECONDS = 30 * 24 * 3600
"""How long an address is an account's own after a sign-in."""


class Lockout:
    """Counts one attempt to sign in, for an e-mail address that may or may not have an account.

    Three rules of the settings: `sign_in` for the account from this address, `sign_in_address` for all accounts from
    this address, `sign_in_account` for the account from all addresses that are not familiar. An address is familiar
    for 30 days after the account signed in there, and the last rule does not hold for it: whoever fails from a
    thousand other addresses does not keep the owner out at home.

    An attempt is counted before the password is looked at, so that a thousand at once are no more than one after
    another, and given back when it succeeds.
    """

    def __init__(self, ctx: Context, email: str) -> None:
        self.limiter, rules = ctx.limits.limiter, ctx.limits.rules
        network = network_of(ctx.address)
        self.place = f"{email} {network}"
        self.pair: Ask = (rules["sign_in"], self.place)
        self.wide: list[Ask] = [(rules["sign_in_address"], network)]
        self.account: Ask = (rules["sign_in_account"], email)

    async def attempt(self) -> None:
        """Count the attempt; raises `RateLimitedError`, with or without such an account."""
        if not await self.limiter.knows("sign_in", self.place):
            self.wide.append(self.account)
        await self.limiter.take(self.pair, *self.wide)

    async def succeeded(self) -> None:
        """Give the attempt back, forget the earlier ones from here, and remember the address as familiar."""
        await self.limiter.forget(self.pair)
        await self.limiter.give_back(*self.wide)
        await self.limiter.remember("sign_in", self.place, FAMILIAR_SECONDS)
