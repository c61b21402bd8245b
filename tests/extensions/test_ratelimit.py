"""The limiter: the same contract in memory and in Valkey, and what happens when Valkey goes."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from redis.asyncio import Redis

from app.embedded.valkey import Valkey
from app.exceptions import RateLimitedError
from app.extensions.limit_storages import MemoryStorage
from app.extensions.ratelimit import PAUSE, STRIKES, RateLimiter, Rule
from tests.extensions.support import Lines

PATIENT = 30.0
"""Seconds to wait for Valkey on a busy machine, where a test is not about that."""
THREE, FIVE = Rule.of("three", "3/hour"), Rule.of("five", "5/hour")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


async def count(limiter: RateLimiter, rule: Rule, key: str, times: int) -> int:
    """Use a limit so many times at once; return how many were allowed."""

    async def use() -> bool:
        try:
            await limiter.take((rule, key))
        except RateLimitedError:
            return False
        return True

    return sum(await asyncio.gather(*(use() for _ in range(times))))


@asynccontextmanager
async def limiter_on(url: str, clock: Callable[[], float], patience: float = PATIENT) -> AsyncIterator[RateLimiter]:
    """Yield a limiter whose keys are nobody else's."""
    limiter = RateLimiter(url, secret=uuid.uuid4().bytes, clock=clock, patience=patience)
    try:
        yield limiter
    finally:
        await limiter.close()


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture(params=["memory", "valkey"])
async def limiter(request: pytest.FixtureRequest, clock: Clock) -> AsyncIterator[RateLimiter]:
    """Yield a limiter on each storage."""
    url = request.getfixturevalue("broker") if request.param == "valkey" else ""
    async with limiter_on(url, clock) as found:
        yield found


async def test_a_limit_holds_for_one_key(limiter: RateLimiter) -> None:
    """So many uses are allowed, also all at once; another key and another rule have their own."""
    assert await count(limiter, FIVE, "a", 40) == 5
    assert await count(limiter, FIVE, "a", 1) == 0
    assert await count(limiter, FIVE, "b", 4) == 4
    assert await count(limiter, THREE, "a", 4) == 3


async def test_a_refusal_says_when_to_come_back(limiter: RateLimiter) -> None:
    """The error names the rule that refused, its window, and the seconds to wait."""
    await count(limiter, THREE, "a", 3)
    with pytest.raises(RateLimitedError) as caught:
        await limiter.take((FIVE, "a"), (THREE, "a"))
    headers = caught.value.headers
    assert headers["RateLimit-Policy"] == '"three";q=3;w=3600'
    wait = int(headers["Retry-After"])
    assert 0 < wait <= 3601
    assert headers["RateLimit"] == f'"three";r=0;t={wait}'


async def test_a_refusal_counts_nothing(limiter: RateLimiter) -> None:
    """Of several limits one that refuses leaves the others as they were."""
    await count(limiter, THREE, "a", 3)
    for _ in range(10):
        with pytest.raises(RateLimitedError):
            await limiter.take((FIVE, "b"), (THREE, "a"))
    assert await count(limiter, FIVE, "b", 10) == 5


async def test_what_is_given_back_and_forgotten(limiter: RateLimiter) -> None:
    """A use that is given back may be had again; forgetting begins at zero."""
    await count(limiter, THREE, "a", 3)
    await limiter.give_back((THREE, "a"), (FIVE, "a"))
    assert await count(limiter, THREE, "a", 3) == 1
    await limiter.forget((THREE, "a"))
    assert await count(limiter, THREE, "a", 5) == 3


async def test_what_is_remembered(limiter: RateLimiter) -> None:
    """What was seen is known, of its kind alone; twice is as good as once."""
    assert not await limiter.knows("kind", "a")
    for _ in range(2):
        await limiter.remember("kind", "a", 3600)
    assert await limiter.knows("kind", "a")
    assert not await limiter.knows("other", "a")


async def test_no_rate_is_no_limit(limiter: RateLimiter) -> None:
    """An empty rate refuses nothing, and counts nothing."""
    off = Rule.of("off", "")
    assert await count(limiter, off, "a", 100) == 100
    await limiter.give_back((off, "a"))
    await limiter.forget((off, "a"))


async def test_scripts_that_valkey_has_forgotten(broker: str, clock: Clock) -> None:
    """A restart or SCRIPT FLUSH takes the scripts away; the count goes on."""
    async with limiter_on(broker, clock) as limiter, Redis.from_url(broker) as redis:
        assert await count(limiter, THREE, "a", 2) == 2
        await redis.script_flush()
        assert await count(limiter, THREE, "a", 2) == 1


async def test_a_window_of_valkey_ends(broker: str, clock: Clock) -> None:
    """Once its window is over there is room again, and what was remembered is not known."""
    short = Rule.of("short", "2/second")
    async with limiter_on(broker, clock) as limiter, limiter_on(broker, clock) as other:
        other.secret = limiter.secret
        assert await count(limiter, short, "a", 2) == 2
        await limiter.remember("kind", "a", 1)
        async with asyncio.timeout(30):
            while await other.knows("kind", "a"):  # noqa: ASYNC110 - Valkey sets no event
                await asyncio.sleep(0.05)
            while not await count(limiter, short, "a", 1):  # noqa: ASYNC110 - the same
                await asyncio.sleep(0.05)


async def test_valkey_holds_no_name(broker: str, clock: Clock) -> None:
    """Keys tell nothing about whom they are for."""
    async with limiter_on(broker, clock) as limiter, Redis.from_url(broker, decode_responses=True) as redis:
        await limiter.take((THREE, "victim@example.com 192.0.2.1"))
        await limiter.remember("sign_in", "victim@example.com 192.0.2.1", 60)
        keys = await redis.keys("*")
    assert len(keys) >= 2
    assert not [key for key in keys if "victim" in key or "192.0" in key]


SCRIPT = """
import asyncio, sys
from app.exceptions import RateLimitedError
from app.extensions.ratelimit import RateLimiter, Rule
async def main():
    limiter, rule, allowed = RateLimiter(sys.argv[1], secret=b"two", patience=30), Rule.of("shared", "10/hour"), 0
    for _ in range(8):
        try:
            await limiter.take((rule, sys.argv[2]))
            allowed += 1
        except RateLimitedError:
            pass
    await limiter.close()
    print(allowed)
asyncio.run(main())
"""


async def test_two_processes_share_a_count(broker: str) -> None:
    """Two processes on one Valkey have one limit between them."""

    async def run() -> int:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT, broker, key, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return int(said)

    key = uuid.uuid4().hex
    assert sum(await asyncio.gather(run(), run())) == 10


@pytest.fixture
def own() -> Iterator[Valkey]:
    """Yield a Valkey that a test may kill."""
    with TemporaryDirectory(prefix="gp-") as folder:
        valkey = Valkey(Path(folder) / "valkey")
        valkey.start()
        yield valkey
        valkey.stop()


async def test_an_outage(own: Valkey, clock: Clock, lines: Lines) -> None:
    """While Valkey is dead the process counts for itself; afterwards counts are shared again. Each is said once."""
    async with limiter_on(own.url, clock) as limiter, limiter_on(own.url, clock) as other:
        other.secret = limiter.secret
        assert await count(limiter, FIVE, "a", 3) == 3
        os.kill(own.pid or 0, signal.SIGKILL)
        await asyncio.to_thread(own.stop)
        assert await count(limiter, FIVE, "a", 4) == 4
        clock.now += 2 * PAUSE
        assert await count(limiter, FIVE, "a", 4) == 1
        await asyncio.to_thread(own.start)
        clock.now += 2 * PAUSE
        assert await count(limiter, FIVE, "b", 1) == 1
        assert await count(limiter, FIVE, "b", 2) == 2
        assert await count(other, FIVE, "b", 5) == 2
    lines.one(event="limits_in_memory", level="warning")
    lines.one(event="limits_shared_again")


async def test_one_late_answer_is_no_outage(own: Valkey, clock: Clock, lines: Lines) -> None:
    """A failure counts that one use in memory; only several in a row are an outage."""
    async with limiter_on(own.url, clock) as limiter:
        await asyncio.to_thread(own.stop)
        assert await count(limiter, FIVE, "a", STRIKES - 1) == STRIKES - 1
        assert not limiter.is_lost
        await asyncio.to_thread(own.start)
        assert await count(limiter, FIVE, "a", 1) == 1
        await asyncio.to_thread(own.stop)
        assert await count(limiter, FIVE, "a", STRIKES - 1) == STRIKES - 1
        assert not limiter.is_lost
        assert lines.all(event="limits_in_memory") == []
        await count(limiter, FIVE, "a", 1)
        assert limiter.is_lost


async def test_a_valkey_that_hangs(own: Valkey, clock: Clock, lines: Lines) -> None:
    """One that takes connections and answers nothing holds nobody up; what it says too late is not taken for more."""
    async with limiter_on(own.url, clock, patience=1.0) as limiter:
        os.kill(own.pid or 0, signal.SIGSTOP)
        try:
            assert await count(limiter, THREE, "a", 10) == 3
            clock.now += 2 * PAUSE
            assert await count(limiter, THREE, "a", 10) == 0
            await limiter.remember("kind", "a", 60)
            assert await limiter.knows("kind", "a")
        finally:
            os.kill(own.pid or 0, signal.SIGCONT)
        async with asyncio.timeout(30):
            while limiter.is_lost:
                clock.now += 2 * PAUSE
                await limiter.knows("kind", "b")
        assert await count(limiter, FIVE, "b", 10) == 5
    lines.one(event="limits_in_memory")
    lines.one(event="limits_shared_again")


async def test_the_window_slides(clock: Clock) -> None:
    """The uses of the window before count less and less; who waits as long as was said is let in."""
    rule = Rule.of("ten", "10/10 seconds")
    limiter = RateLimiter(clock=clock)
    assert await count(limiter, rule, "a", 20) == 10
    clock.now += 15
    assert await count(limiter, rule, "a", 20) == 5
    for _ in range(30):
        with pytest.raises(RateLimitedError) as caught:
            await limiter.take((rule, "a"))
        clock.now += int(caught.value.headers["Retry-After"])
        assert await count(limiter, rule, "a", 20) >= 1
    clock.now += 20
    assert await count(limiter, rule, "a", 20) == 10


async def test_memory_is_bounded(clock: Clock) -> None:
    """However many keys there are, so many are kept, the latest; those that are over go sooner."""
    storage = MemoryStorage(clock, room=10)
    for number in range(100):
        await storage.acquire_sliding_window_entry(str(number), 5, 60)
    assert list(storage.windows) == [str(number) for number in range(90, 100)]
    clock.now += 120
    await storage.incr("new", 60)
    assert list(storage.windows) == ["new"]
    assert await storage.get_expiry("new") == clock.now + 60
    assert await storage.reset() == 1
    assert await storage.get("new") == 0
