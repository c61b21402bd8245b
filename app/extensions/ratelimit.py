"""How often something may happen: limits of the library `limits`, counted in Valkey, or in memory without one."""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import floor
from typing import TypeVar

from limits import RateLimitItem, parse
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.exceptions import RedisError
from starlette.types import ASGIApp, Receive, Scope, Send

from app.exceptions import RateLimitedError
from app.extensions.limit_storages import Clock, Hit, MemoryStorage, ValkeyStorage
from app.extensions.logs import get_logger
from app.utils.addresses import network_of

PATIENCE = 0.1
"""Seconds that Valkey may take to answer; then the process counts for itself."""
STRIKES = 3
"""Failures in a row that are an outage: on a busy machine one answer may be late, and only that use counts here."""
PAUSE = 1.0
"""Seconds until Valkey is asked again in an outage, which so costs one request a second `PATIENCE`."""

Answer = TypeVar("Answer")
Counting = MemoryStorage | ValkeyStorage

log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit and its name, which clients read; without an item there is none."""

    name: str
    item: RateLimitItem | None

    @classmethod
    def of(cls, name: str, rate: str) -> "Rule":
        """Return the rule for a rate in the library's notation (`10/15 minutes`); empty means no limit."""
        return cls(name, parse(rate) if rate else None)


Ask = tuple[Rule, str]
"""A rule, and who or what is counted by it."""


class RateLimiter:
    """Counts uses by a sliding window, for all processes that share a `url`, else for this one.

    When Valkey is away nothing fails and nothing waits longer than `patience` seconds: the process counts in its own
    memory, so that there always is a limit, and takes Valkey up again by itself. What is counted is stored under a
    keyed hash: who reads Valkey learns no address. The `clock` is memory's; Valkey has its own.
    """

    def __init__(
        self, url: str = "", *, secret: bytes = b"", clock: Clock = time.monotonic, patience: float = PATIENCE
    ) -> None:
        self.clock, self.patience = clock, patience
        self.memory = MemoryStorage(clock)
        self.shared = ValkeyStorage(url, patience) if url else None
        self.secret = hashlib.sha256(b"rate limits" + secret).digest()
        self.failures = 0
        self.lost_at, self.retry_at = 0.0, 0.0

    async def take(self, *asks: Ask) -> None:
        """Count one use for each ask, or raise `RateLimitedError` and count none."""
        hits = self._hits(asks)
        if hits:
            refused = await self._run(lambda storage: take_all(storage, hits))
            if refused is not None:
                number, seconds = refused
                rule = next(rule for rule, _ in asks if rule.item is hits[number][0])
                raise refusal(rule, seconds)

    async def give_back(self, *asks: Ask) -> None:
        """Take a use back that turned out not to count."""
        hits = self._hits(asks)

        async def undo(storage: Counting) -> None:
            for item, key in hits:
                await strategy(storage).hit(item, key, cost=-1)

        await self._run(undo)

    async def forget(self, *asks: Ask) -> None:
        """Begin again at zero."""
        hits = self._hits(asks)

        async def clear(storage: Counting) -> None:
            for item, key in hits:
                await strategy(storage).clear(item, key)

        await self._run(clear)

    async def remember(self, kind: str, key: str, seconds: int) -> None:
        """Keep in mind, for so many seconds from now, that something was seen; in memory too, for an outage."""
        name = f"known/{self._hashed(kind, key)}"

        async def keep(storage: Counting) -> None:
            await storage.clear(name)
            await storage.incr(name, seconds)

        await keep(self.memory)
        await self._run(keep)

    async def knows(self, kind: str, key: str) -> bool:
        """Tell whether it was remembered."""
        name = f"known/{self._hashed(kind, key)}"
        return bool(await self.memory.get(name) or await self._run(lambda storage: storage.get(name)))

    @property
    def is_lost(self) -> bool:
        """Tell whether Valkey is away, and this process counts for itself."""
        return self.failures >= STRIKES

    async def close(self) -> None:
        """Close the connections; what still comes is counted in memory."""
        shared, self.shared = self.shared, None
        if shared:
            await shared.close()

    def _hits(self, asks: Sequence[Ask]) -> list[Hit]:
        return [(rule.item, self._hashed(rule.name, key)) for rule, key in asks if rule.item is not None]

    def _hashed(self, name: str, key: str) -> str:
        return hashlib.blake2b(f"{name}\0{key}".encode(), key=self.secret, digest_size=16).hexdigest()

    async def _run(self, work: Callable[[Counting], Awaitable[Answer]]) -> Answer:
        """Do it in Valkey, or in memory when that is away."""
        begun = self.clock()
        if self.shared and begun >= self.retry_at:
            if self.is_lost:
                self.retry_at = begun + PAUSE  # one asks, the others go on meanwhile
            try:
                async with asyncio.timeout(self.patience):
                    answer = await work(self.shared)
            except (RedisError, OSError) as error:
                self._fail(error)
            else:
                self._succeed(begun)
                return answer
        return await work(self.memory)

    def _fail(self, error: Exception) -> None:
        self.failures += 1
        if self.failures == STRIKES:
            log.warning("limits_in_memory", error=type(error).__name__)
            self.lost_at = self.clock()
        if self.is_lost:
            self.retry_at = self.clock() + PAUSE

    def _succeed(self, begun: float) -> None:
        """Note an answer; in an outage one that was asked for before it proves nothing."""
        if self.is_lost:
            if begun <= self.lost_at:
                return
            log.info("limits_shared_again")
        self.failures, self.retry_at = 0, 0.0


def strategy(storage: Counting) -> SlidingWindowCounterRateLimiter:
    """Return the library's strategy on a storage."""
    return SlidingWindowCounterRateLimiter(storage)


async def take_all(storage: Counting, hits: Sequence[Hit]) -> tuple[int, int] | None:
    """Count all, or none: return None, or the number of the hit that is refused longest and the seconds it will be."""
    granted = await storage.acquire_all(hits)
    if all(granted):
        return None
    counted = strategy(storage)
    refused = []
    for number, (item, key) in enumerate(hits):
        if granted[number]:
            await counted.hit(item, key, cost=-1)
        else:
            window = await storage.get_sliding_window(item.key_for(key), item.get_expiry())
            refused.append((number, seconds_to_wait(item, *window)))
    return max(refused, key=lambda pair: pair[1])


def seconds_to_wait(item: RateLimitItem, previous: int, _: float, current: int, ttl: float) -> int:
    """Return after how many whole seconds one use is allowed again: the window before weighs less by the second.

    The library's own figure names the moment in which a window ends; all of its uses still weigh then.
    """
    seconds, left = item.get_expiry(), ttl - item.get_expiry()
    room = item.amount - current
    wait = left - room * seconds / previous if room > 0 and previous else left
    return max(0, floor(wait)) + 1


def refusal(rule: Rule, wait: int) -> RateLimitedError:
    """Return the 429 with what draft-ietf-httpapi-ratelimit-headers-11 and RFC 9110, 10.2.3 have clients read."""
    amount, window = (rule.item.amount, rule.item.get_expiry()) if rule.item else (0, 0)
    return RateLimitedError(
        headers={
            "Retry-After": str(wait),
            "RateLimit-Policy": f'"{rule.name}";q={amount};w={window}',
            "RateLimit": f'"{rule.name}";r=0;t={wait}',
        }
    )


class AddressLimitMiddleware:
    """Refuses a flood from one address, before anything is read or asked; an IPv6 network of 64 bits is one.

    Counted in this process alone: what guards against a flood must not send one on.
    """

    def __init__(self, app: ASGIApp, rate: str, clock: Clock = time.monotonic) -> None:
        self.app = app
        self.rule = Rule.of("address", rate)
        self.limiter = RateLimiter(clock=clock)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or raise `RateLimitedError`."""
        if scope["type"] == "http":
            await self.limiter.take((self.rule, network_of(scope["client"][0] if scope.get("client") else "")))
        await self.app(scope, receive, send)
