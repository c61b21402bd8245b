"""Hashing: off the event loop, a bounded number at a time, with no connection held meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from httpx2 import AsyncClient, Response

from app.auth.passwords import QUEUE, PasswordHasher, passwords
from app.config import settings
from app.main import create_app
from app.sections import AuthSettings
from tests.auth.hashers import PATIENCE, WatchedHasher
from tests.support import PASSWORD, Cluster, Team, serve

NOBODY = {"email": "nobody@example.com", "password": PASSWORD}


async def until(condition: Callable[[], bool]) -> None:
    """Let everybody else go on until the condition holds."""
    async with asyncio.timeout(PATIENCE / 2):
        while not condition():  # noqa: ASYNC110 - threads change what it looks at, they set no event
            await asyncio.sleep(0.001)


@asynccontextmanager
async def held_up(
    hasher: WatchedHasher, client: AsyncClient, count: int
) -> AsyncIterator[list[asyncio.Task[Response]]]:
    """Have so many people wait for their passwords to be verified; afterwards all get their answers."""
    hasher.gate.clear()
    tasks = [asyncio.ensure_future(client.post("/auth/login", json=NOBODY)) for _ in range(count)]
    try:
        await until(lambda: passwords.waiting == count)
        yield tasks
    finally:
        hasher.gate.set()
        await asyncio.gather(*tasks)


async def test_a_hash_verifies_its_password_alone() -> None:
    """A password is hashed with argon2id, salted, in the parameters of the settings; only itself verifies."""
    config = AuthSettings(argon2_memory_kib=2048, argon2_iterations=3, argon2_parallelism=2)
    found = PasswordHasher(config)
    stored, again = await found.hash(PASSWORD), await found.hash(PASSWORD)
    assert stored.startswith("$argon2id$v=19$m=2048,t=3,p=2$")
    assert stored != again
    assert await found.verify(PASSWORD, stored)
    assert not await found.verify(PASSWORD.upper(), stored)
    assert not await found.verify(PASSWORD, None)
    assert not await found.verify(PASSWORD, "no hash at all")
    found.threads.shutdown()


def test_the_decoy_costs_what_a_hash_costs() -> None:
    """Where there is no account, a hash of the same parameters and lengths is verified."""
    config = AuthSettings(argon2_memory_kib=2048, argon2_iterations=3, argon2_parallelism=2)
    found = PasswordHasher(config)
    decoy, stored = found.decoy.split("$"), found.hasher.hash(PASSWORD).split("$")
    assert decoy[:4] == stored[:4]
    assert [len(part) for part in decoy] == [len(part) for part in stored]
    assert not found.hasher.check_needs_rehash(found.decoy)
    found.threads.shutdown()


async def test_an_unknown_account_costs_the_same_work(client: AsyncClient, team: Team, hasher: WatchedHasher) -> None:
    """A sign-in verifies one hash, equally dear, whether the address is known, unknown or the password wrong."""
    costs = []
    for email, password in (
        (team.owner.email, PASSWORD),
        (team.owner.email, "not the password"),
        ("nobody@example.com", PASSWORD),
        ("nobody@example.com", "not the password"),
    ):
        hasher.calls.clear()
        await client.post("/auth/login", json={"email": email, "password": password})
        costs.append(list(hasher.calls))
    auth = settings.auth
    cost = f"m={auth.argon2_memory_kib},t={auth.argon2_iterations},p={auth.argon2_parallelism}"
    assert costs == [[("verify", cost)]] * 4


async def test_the_loop_is_free_while_passwords_are_hashed(client: AsyncClient, hasher: WatchedHasher) -> None:
    """While ten sign-ins are hashed somebody else is answered; as many hashes run as there are workers, in threads."""
    async with held_up(hasher, client, 10) as tasks:
        await until(lambda: hasher.running == settings.auth.hash_workers)
        answer = await asyncio.wait_for(client.get("/core/health/live"), PATIENCE / 2)
        assert answer.status_code == 200
        assert not any(task.done() for task in tasks)
        assert hasher.running == settings.auth.hash_workers
    assert [task.result().status_code for task in tasks] == [401] * 10
    assert len(hasher.calls) == 10
    assert hasher.most == settings.auth.hash_workers
    assert all(name.startswith("argon2") for name in hasher.threads)


async def test_registering_hashes_in_a_thread(client: AsyncClient, hasher: WatchedHasher) -> None:
    """A new password is hashed off the loop, too, and once."""
    body = {"email": "no address", "password": PASSWORD, "full_name": "a", "tenant_name": "b"}
    await client.post("/auth/register", json=body)
    assert hasher.calls == []
    await client.post("/auth/register", json=body | {"email": "hashed.once@example.com"})
    assert hasher.calls == [("hash", "")]
    assert all(name.startswith("argon2") for name in hasher.threads)


async def test_too_many_are_told_to_come_back(client: AsyncClient, hasher: WatchedHasher) -> None:
    """With the queue full the next one is refused at once with 503 and Retry-After, and welcome a moment later."""
    hasher.gate.clear()
    waiting = [asyncio.ensure_future(passwords.verify(PASSWORD, None)) for _ in range(QUEUE)]
    await until(lambda: passwords.waiting == QUEUE)
    refused = await asyncio.wait_for(client.post("/auth/login", json=NOBODY), PATIENCE / 2)
    hasher.gate.set()
    assert await asyncio.gather(*waiting) == [False] * QUEUE
    assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
    assert int(refused.headers["Retry-After"]) >= 1
    assert passwords.waiting == 0
    assert (await client.post("/auth/login", json=NOBODY)).status_code == 401


async def test_who_leaves_gives_up_the_place(client: AsyncClient, hasher: WatchedHasher) -> None:
    """A request that is cancelled while it waits is neither counted nor hashed any more."""
    async with held_up(hasher, client, settings.auth.hash_workers):
        leaving = asyncio.ensure_future(passwords.verify(PASSWORD, None))
        await until(lambda: passwords.waiting == settings.auth.hash_workers + 1)
        leaving.cancel()
        await asyncio.wait([leaving])
        assert passwords.waiting == settings.auth.hash_workers
    assert len(hasher.calls) == settings.auth.hash_workers


async def test_no_connection_is_held_while_hashing(
    cluster: Cluster, database: str, team: Team, hasher: WatchedHasher
) -> None:
    """An application with one connection serves others while a sign-in and a registration are hashed."""
    one = settings.database.model_copy(update={"pool_size": 1, "pool_timeout": 5.0})
    app = create_app(settings.model_copy(update={"database": one}), url=cluster.url("app_rw", database))
    body = {"email": "slow@example.com", "password": PASSWORD, "full_name": "a", "tenant_name": "b"}
    async with serve(app) as client, held_up(hasher, client, 1) as tasks:
        tasks.append(asyncio.ensure_future(client.post("/auth/register", json=body)))
        await until(lambda: passwords.waiting == 2)
        answer = await client.get("/users/me", headers=team.owner.headers)
        assert answer.status_code == 200, answer.text
        assert not any(task.done() for task in tasks)
