"""The lockout: guessing ends soon, and nobody is shut out by somebody else."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response

from app.main import create_app
from tests.extensions.support import check_problem
from tests.support import PASSWORD, Caller, Cluster, limited, register, serve, visitor

HOME, AWAY = "203.0.113.1", "198.51.100.200"


@dataclass(frozen=True)
class Door:
    """An application at which people sign in from many addresses."""

    app: FastAPI

    async def answer(self, email: str, address: str, password: str = PASSWORD) -> Response:
        """Try to sign in."""
        async with visitor(self.app, address) as client:
            return await client.post("/auth/login", json={"email": email, "password": password})

    async def enter(self, email: str, address: str = HOME) -> int:
        """Try the right password; return the status."""
        return (await self.answer(email, address)).status_code

    async def guess(self, email: str, address: str = HOME) -> int:
        """Try a wrong one."""
        return (await self.answer(email, address, "not the password")).status_code


Open = Callable[..., AbstractAsyncContextManager[Door]]


@pytest.fixture
def door(cluster: Cluster, database: str) -> Open:
    """Return what opens an application with other limits."""

    @asynccontextmanager
    async def put(**rates: str) -> AsyncIterator[Door]:
        app = create_app(limited(**rates), url=cluster.url("app_rw", database))
        async with serve(app):
            yield Door(app)

    return put


async def test_guesses_from_one_address_end(door: Open, owner: Caller) -> None:
    """After so many failures even the right password is refused, there; elsewhere it is not."""
    async with door(sign_in="3/hour") as at:
        assert [await at.guess(owner.email) for _ in range(4)] == [401, 401, 401, 429]
        refused = await at.answer(owner.email, HOME)
        check_problem(refused.content, 429, "rate_limited")
        assert int(refused.headers["Retry-After"]) > 0
        assert await at.enter(owner.email, AWAY) == 200


async def test_many_at_once_are_no_way_round(door: Open, owner: Caller) -> None:
    """Attempts that are under way count."""
    async with door(sign_in="5/hour") as at:
        codes = await asyncio.gather(*(at.guess(owner.email) for _ in range(20)))
    assert sorted(codes) == [401] * 5 + [429] * 15


async def test_a_sign_in_begins_again(door: Open, owner: Caller) -> None:
    """Who gets it right has all attempts again, and signing in often is no failure."""
    async with door(sign_in="3/hour", sign_in_address="5/hour", sign_in_account="5/hour") as at:
        for _ in range(2):
            assert [await at.guess(owner.email) for _ in range(2)] == [401, 401]
            assert await at.enter(owner.email) == 200
        assert [await at.enter(owner.email) for _ in range(20)] == [200] * 20


async def test_spraying_ends(door: Open, client: AsyncClient, owner: Caller) -> None:
    """One address that tries many accounts is stopped; the sign-in of another account there starts nothing anew."""
    other = await register(client)
    async with door(sign_in_address="5/hour") as at:
        assert [await at.guess(f"{uuid.uuid4().hex}@example.com") for _ in range(4)] == [401] * 4
        assert await at.enter(other.email) == 200
        assert [await at.guess(owner.email) for _ in range(2)] == [401, 429]
        assert await at.enter(owner.email) == 429
        assert await at.enter(owner.email, AWAY) == 200


async def test_nobody_locks_a_victim_out_at_home(door: Open, owner: Caller) -> None:
    """While 200 strange addresses fail, the account's usual address is let in; a new one has to wait."""
    async with door(sign_in="5/hour", sign_in_account="20/hour") as at:
        assert await at.enter(owner.email) == 200
        codes = [await at.guess(owner.email, f"198.51.100.{number}") for number in range(200)]
        assert codes == [401] * 20 + [429] * 180
        assert await at.guess(owner.email) == 401
        assert await at.enter(owner.email) == 200
        assert await at.enter(owner.email, AWAY) == 429
        stranger = await at.guess(f"{uuid.uuid4().hex}@example.com", AWAY)
        assert stranger == 401


async def test_failures_at_home_are_not_held_against_the_account(door: Open, owner: Caller) -> None:
    """What fails at a familiar address counts there alone."""
    async with door(sign_in_account="3/hour") as at:
        assert await at.enter(owner.email) == 200
        assert [await at.guess(owner.email) for _ in range(10)] == [401] * 10
        assert await at.enter(owner.email, AWAY) == 200


async def test_a_stolen_token_does_not_find_the_password_out(door: Open, owner: Caller) -> None:
    """To guess the present password in a change of it counts like a sign-in; the right one has all attempts again."""
    change = {"current_password": "not the password", "new_password": "eleven green kettles"}
    bearer = {"Authorization": f"Bearer {owner.token}"}
    async with door(sign_in="3/hour") as at, visitor(at.app, HOME) as client:

        async def guess(password: str) -> int:
            body = change | {"current_password": password}
            return (await client.post("/auth/password/change", json=body, headers=bearer)).status_code

        assert [await guess(password) for password in ("wrong", "wrong", PASSWORD)] == [400, 400, 200]
        assert [await guess("wrong") for _ in range(4)] == [400, 400, 400, 429]
        assert await guess(change["new_password"]) == 429
        assert (await at.answer(owner.email, HOME, change["new_password"])).status_code == 429


@pytest.mark.parametrize("rate", ["sign_in", "sign_in_address", "sign_in_account"])
async def test_an_unknown_account_is_counted_alike(door: Open, owner: Caller, rate: str) -> None:
    """The answers do not tell whether there is such an account, in whatever spelling it is asked for."""
    name, _, domain = owner.email.partition("@")
    spelt = (owner.email, f"{name}@{domain.upper()}")
    seen = []
    for one, other in (spelt, (f"x{spelt[0]}", f"x{spelt[1]}")):
        async with door(**{rate: "4/hour"}) as at:
            answers = [await at.answer(email, HOME, "wrong") for email in (one, other) * 3]
            seen.append([(answer.status_code, sorted(answer.headers), answer.json()["code"]) for answer in answers])
    assert seen[0] == seen[1]
    assert [status for status, _, _ in seen[0]] == [401] * 4 + [429] * 2
