"""Limits over HTTP: the refusal, and who is counted by which rule."""

import asyncio
import io
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace

import orjson
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from redis.asyncio import Redis

from app.config import settings
from app.core.limits import RateLimits
from app.exceptions import RateLimitedError
from app.extensions import logs
from app.extensions.ratelimit import RateLimiter
from app.main import create_app
from app.processes import shared_limits
from app.sections import BrokerSettings, LimitSettings
from app.tenants.utils import API_KEY_PREFIX, new_token
from tests.extensions.support import check_problem
from tests.support import Caller, Cluster, Team, limited, serve, visitor

ALIVE, ME = "/core/health/live", "/users/me"
Open = Callable[..., AbstractAsyncContextManager[tuple[FastAPI, AsyncClient]]]


@pytest.fixture
def limited_app(cluster: Cluster, database: str) -> Open:
    """Return what opens an application with other limits."""

    @asynccontextmanager
    async def put(**rates: str) -> AsyncIterator[tuple[FastAPI, AsyncClient]]:
        app = create_app(limited(**rates), url=cluster.url("app_rw", database))
        async with serve(app) as client:
            yield app, client

    return put


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Return what a log can be written to; put logging back after the test."""
    yield io.BytesIO()
    logs.configure(settings.log.level, settings.log.format)


async def test_the_refusal_of_a_flood(limited_app: Open, stream: io.BytesIO) -> None:
    """One address gets a problem, with everything that a client needs to wait; another one is served; it is logged."""
    async with limited_app(address="5/minute") as (app, client):
        logs.configure("INFO", "json", stream)
        answers = [await client.get(ALIVE) for _ in range(6)]
        async with visitor(app, "203.0.113.9") as other:
            assert (await other.get(ALIVE)).status_code == 200
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    refused = answers[-1]
    assert refused.headers["content-type"] == "application/problem+json"
    check_problem(refused.content, 429, "rate_limited")
    assert refused.headers["X-Request-ID"]
    assert refused.headers["RateLimit-Policy"] == '"address";q=5;w=60'
    wait = int(refused.headers["Retry-After"])
    assert 1 <= wait <= 61
    assert refused.headers["RateLimit"] == f'"address";r=0;t={wait}'
    assert [
        line["code"] for line in map(orjson.loads, stream.getvalue().splitlines()) if line.get("status") == 429
    ] == ["rate_limited"]


async def test_an_ipv6_network_is_one_address(limited_app: Open) -> None:
    """Who has a /64 does not have so many floods."""
    async with limited_app(address="3/minute") as (app, _):
        codes = []
        for number in range(4):
            async with visitor(app, f"2001:db8::{number + 1:x}") as client:
                codes.append((await client.get(ALIVE)).status_code)
    assert codes == [200, 200, 200, 429]


async def test_a_forwarded_address_is_counted(cluster: Cluster, database: str) -> None:
    """Behind a trusted proxy each client has a limit of its own; what others forward is ignored."""
    config = limited(address="2/minute")
    proxies = config.server.model_copy(update={"trusted_proxies": ("10.0.0.0/8",)})
    app = create_app(config.model_copy(update={"server": proxies}), url=cluster.url("app_rw", database))
    seen = {}
    for peer in ("10.0.0.7", "203.0.113.9"):
        async with visitor(app, peer) as client:
            said = [{"X-Forwarded-For": f"198.51.100.{number}"} for number in range(4)]
            seen[peer] = [(await client.get(ALIVE, headers=headers)).status_code for headers in said]
    assert seen == {"10.0.0.7": [200] * 4, "203.0.113.9": [200, 200, 429, 429]}


async def test_an_actor_is_counted_at_any_address(limited_app: Open, team: Team) -> None:
    """One person's calls are counted together, before the database is asked; another's are not among them."""
    async with limited_app(actor="3/minute") as (app, _):
        answers = []
        for number in range(4):
            async with visitor(app, f"203.0.113.{number}") as client:
                answers.append(await replace(team.owner, client=client).call("GET", ME))
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        check_problem(answers[-1].content, 429, "rate_limited")
        async with visitor(app, "203.0.113.1") as client:
            assert (await replace(team.admin, client=client).call("GET", ME)).status_code == 200


async def test_a_tenant_is_counted_over_its_people(limited_app: Open, team: Team) -> None:
    """The people of a tenant share its limit; another tenant has its own."""
    async with limited_app(tenant="4/minute") as (_, client):
        owner, admin = (replace(team[role], client=client) for role in ("owner", "admin"))
        codes = [(await caller.call("GET", "/projects")).status_code for caller in (owner, admin) * 4]
        assert codes[:4] == [200] * 4
        assert codes[-1] == 429
        assert (await replace(team.stranger, client=client).call("GET", "/projects")).status_code == 200


async def test_a_stranger_uses_up_no_tenant(limited_app: Open, team: Team) -> None:
    """Who is let into no tenant may name it as often as they like: its people are served."""
    async with limited_app(tenant="3/minute") as (_, client):
        stranger = replace(team.stranger, client=client, tenant_id=team.owner.tenant_id)
        assert {(await stranger.call("GET", "/projects")).status_code for _ in range(10)} == {404}
        owner = replace(team.owner, client=client)
        assert [(await owner.call("GET", "/projects")).status_code for _ in range(4)] == [200] * 4


async def test_forged_keys_use_up_no_tenant(limited_app: Open, team: Team) -> None:
    """One key that was let in vouches for itself, and not for every text that looks like a key of the tenant."""
    made = {"name": "k", "permissions": ["projects.read"]}
    secret = (await team.owner.call("POST", "/tenants/current/api-keys", json=made)).json()["key"]
    async with limited_app(tenant="5/minute") as (_, client):
        real = replace(team.owner, client=client, token=secret)
        assert (await real.call("GET", "/projects")).status_code == 200
        for _ in range(10):
            forged = replace(real, token=new_token(API_KEY_PREFIX, team.owner.tenant_id))
            assert (await forged.call("GET", "/projects")).status_code == 401
        assert (await real.call("GET", "/projects")).status_code == 200


async def test_the_application_counts_in_valkey(cluster: Cluster, database: str, broker: str, owner: Caller) -> None:
    """With a broker in the settings calls are counted there, and the connections end with the application."""
    config = settings.model_copy(update={"broker": BrokerSettings(url=broker)})
    app = create_app(config, url=cluster.url("app_rw", database))
    async with Redis.from_url(broker) as redis:
        await redis.flushdb()
        before = len(await redis.client_list())  # other applications may be served by the same Valkey
        async with app.router.lifespan_context(app), serve(app) as client, asyncio.timeout(30):
            caller = replace(owner, client=client)
            while not await redis.keys("limits:*"):
                assert (await caller.call("GET", ME)).status_code == 200
        async with asyncio.timeout(30):
            while len(await redis.client_list()) > before:  # noqa: ASYNC110 - Valkey sets no event
                await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Claimed:
    """What a request's headers say."""

    actor_id: uuid.UUID | None = None
    tenant_id: uuid.UUID | None = None
    key_id: uuid.UUID | None = None


async def test_a_key_is_counted_by_itself() -> None:
    """A key has a limit of its own, whoever's it is; nobody is not counted."""
    limits = RateLimits(LimitSettings(key="2/minute"), RateLimiter())
    key, actor = uuid.uuid4(), uuid.uuid4()
    for _ in range(2):
        await limits.take_call(Claimed(actor, key_id=key))
    with pytest.raises(RateLimitedError):
        await limits.take_call(Claimed(actor, key_id=key))
    await limits.take_call(Claimed(actor, key_id=uuid.uuid4()))
    await limits.take_call(Claimed())


async def test_mails_are_bounded() -> None:
    """By recipient from one address, by recipient from wherever, by address; each purpose by itself."""
    rates = LimitSettings(mail="1/hour", mail_recipient="3/hour", mail_address="4/hour")
    limits = RateLimits(rates, RateLimiter())
    await limits.take_mail("forgot", "a@example.com", "203.0.113.0")
    with pytest.raises(RateLimitedError):
        await limits.take_mail("forgot", "a@example.com", "203.0.113.0")
    for number in range(1, 3):
        await limits.take_mail("forgot", "a@example.com", f"203.0.113.{number}")
    with pytest.raises(RateLimitedError):
        await limits.take_mail("forgot", "a@example.com", "203.0.113.9")
    await limits.take_mail("verify", "a@example.com", "203.0.113.9")
    for number in range(4):
        await limits.take_mail("forgot", f"b{number}@example.com", "198.51.100.1")
    with pytest.raises(RateLimitedError):
        await limits.take_mail("forgot", "c@example.com", "198.51.100.1")


async def test_processes_count_together(broker: str) -> None:
    """A mail that a worker sent is counted by the next worker, and by the API."""
    config = limited(mail_recipient="1/hour").model_copy(update={"broker": BrokerSettings(url=broker)})
    first, second, recipient = shared_limits(config), shared_limits(config), f"{uuid.uuid4().hex}@example.com"
    for one in (first, second):
        await one.limiter.knows("connection", "open")  # opening one may take longer than an answer may
    assert await first.may_mail("remind", recipient)
    assert not await second.may_mail("remind", recipient)
    assert await second.may_mail("another purpose", recipient)
    for one in (first, second):
        await one.limiter.close()
