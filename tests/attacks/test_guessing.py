"""Who guesses passwords learns nothing of accounts, soon may not go on, and shuts nobody out."""

import asyncio
import statistics
import time
import uuid
from collections import Counter
from itertools import count
from typing import Any

import pytest

from tests.attacks.conftest import Record
from tests.attacks.site import Site
from tests.attacks.wire import Answer
from tests.support import PASSWORD, Caller

PAIRS, SKIPPED, TRIES = 400, 10, 3
CLOSE_MS, CLOSE_PART = 3.0, 0.03
GUESSES = ("login", "forgot", "invite")
OWN = {"date", "x-request-id", "content-length"}
PEOPLE = """
    insert into users (id, email, full_name)
    select gen_random_uuid(), 'known-' || cast(:run as text) || '-' || number || '@example.com', 'Some Body'
    from generate_series(0, :number) as number returning 1
"""
addresses = count()


@pytest.fixture(scope="package")
async def owner(unhurried: Site) -> Caller:
    """Register somebody who is known."""
    return await unhurried.register()


async def guess(site: Site, owner: Caller, kind: str, email: str) -> Answer:
    """Ask something whose answer could tell whether there is such an account."""
    door = site.door(0)
    if kind == "login":
        return await door.call("POST", "/auth/login", body={"email": email, "password": "not the password"})
    if kind == "forgot":
        return await door.call("POST", "/auth/password/forgot", body={"email": email})
    body = {"email": email, "role": "viewer"}
    return await door.call("POST", "/tenants/current/invitations", token=owner.token, tenant=owner.tenant_id, body=body)


async def measure(site: Site, owner: Caller, kind: str) -> tuple[float, float]:
    """Return the medians in ms for known and unknown addresses, asked for in pairs, in turn first and second."""
    run = uuid.uuid4().hex
    await site.rows(PEOPLE, run=run, number=PAIRS)
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(PAIRS):
        shown = {}
        for known in (True, False) if number % 2 else (False, True):
            # Only invitations need another account each time.
            email = f"{'known' if known else 'never'}-{run}-{number}@example.com"
            email = owner.email if known and kind == "login" else email
            begun = time.perf_counter()
            answer = await guess(site, owner, kind, email)
            times[known].append((time.perf_counter() - begun) * 1000)
            shown[known] = seen(answer, email)
        assert shown[True] == shown[False]
    return statistics.median(times[True][SKIPPED:]), statistics.median(times[False][SKIPPED:])


def seen(answer: Answer, email: str) -> Any:
    """Return all of an answer but what is of this one request."""
    said = {name: value for name, value in answer.json.items() if name not in {"id", "request_id"}}
    body = {name: "..." if name.endswith("_at") or value == email else value for name, value in said.items()}
    return answer.status, {name: value for name, value in answer.headers.items() if name not in OWN}, body


@pytest.mark.parametrize("kind", GUESSES)
async def test_an_account_does_not_show(kind: str, unhurried: Site, owner: Caller, record: Record) -> None:
    """Known and unknown addresses are answered alike, to the letter and to the millisecond."""
    best = (0.0, float("inf"))
    for _ in range(TRIES):
        best = min(best, await measure(unhurried, owner, kind), key=lambda pair: abs(pair[0] - pair[1]))
        if is_close(*best):
            break
    record(f"enumeration by {kind}, {PAIRS} pairs: alike; medians known {best[0]:.2f} ms, unknown {best[1]:.2f} ms")
    assert is_close(*best)


def is_close(known: float, unknown: float) -> bool:
    """Tell whether nobody learns anything by the difference."""
    return abs(known - unknown) <= max(CLOSE_MS, CLOSE_PART * max(known, unknown))


def an_address() -> str:
    """Return an address nobody has called from."""
    return f"198.{18 + next(addresses) // 65536}.{next(addresses) // 256 % 256}.{next(addresses) % 256}"


async def enter(guarded: Site, number: int, email: str, address: str, password: str = PASSWORD) -> Answer:
    """Try to sign in from an address, at one process or the other."""
    lines = [("X-Forwarded-For", address)]
    body = {"email": email, "password": password}
    return await guarded.door(number).call("POST", "/auth/login", headers=lines, body=body)


async def many(guarded: Site, pairs: list[tuple[str, str]]) -> list[Answer]:
    """Guess at each e-mail address from each address, ten at a time."""
    found: list[Answer] = []
    for start in range(0, len(pairs), 10):
        part = pairs[start : start + 10]
        found += await asyncio.gather(
            *(enter(guarded, number, *pair, "not the password") for number, pair in enumerate(part))
        )
    for answer in found:
        assert answer.is_refusal
        assert answer.status == 401 or 0 < int(answer.headers["retry-after"]) <= 3600, answer.headers
    return found


async def test_one_account_is_guessed_at(guarded: Site, record: Record) -> None:
    """From one address and from many; unknown accounts are limited alike; at home the victim signs in."""
    victim, home = await guarded.register(), an_address()
    assert (await enter(guarded, 0, victim.email, home)).status == 200
    for email in (victim.email, f"{uuid.uuid4().hex}@example.com"):
        near = an_address()
        one = Counter(answer.status for answer in await many(guarded, [(email, near)] * 30))
        assert one == {401: 10, 429: 20}, one
        right = await enter(guarded, 1, email, near)
        assert right.status == 429, "the right password is refused, too"
        spread = Counter(answer.status for answer in await many(guarded, [(email, an_address()) for _ in range(130)]))
        assert spread == {401: 90, 429: 40}, spread
        assert (await enter(guarded, 0, email, an_address())).status == 429
        name = "known" if email == victim.email else "unknown"
        record(f"brute force, {name} account: 10 of 30 guesses from 1 address heard, 90 of 130 from 130 others")
    for number in range(2):
        assert (await enter(guarded, number, victim.email, home)).status == 200
    record("brute force: the victim signs in at home, on both processes")


async def test_many_accounts_are_sprayed(guarded: Site, record: Record) -> None:
    """One address may guess at fifty accounts, there or not; others from there wait, from elsewhere they do not."""
    near, bystander = an_address(), await guarded.register()
    pairs = [(f"{uuid.uuid4().hex}@example.com", near) for _ in range(80)]
    found = Counter(answer.status for answer in await many(guarded, pairs))
    assert found == {401: 50, 429: 30}, found
    assert (await enter(guarded, 0, bystander.email, near)).status == 429
    assert (await enter(guarded, 1, bystander.email, an_address())).status == 200
    record("spraying: 50 of 80 accounts heard from 1 address; elsewhere nobody is held up")
