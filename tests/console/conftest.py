"""The application with its console, on this worker's database and broker."""

from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from redis import Redis

from app.main import create_app
from tests.console.browser import Browser, browser, make_superuser, with_console
from tests.support import Caller, Cluster, register


@pytest.fixture(scope="session")
async def served(cluster: Cluster, database: str, broker: str) -> AsyncIterator[FastAPI]:
    """Start the application with its console switched on."""
    app = create_app(with_console(broker), url=cluster.url("app_rw", database))
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="session")
def redis(broker: str) -> Iterator[Redis]:
    """Yield a connection to the broker, past everything of ours."""
    with Redis.from_url(broker) as found:
        yield found


@pytest.fixture
async def root(client: AsyncClient, cluster: Cluster, database: str) -> Caller:
    """Make a superuser, who owns a tenant besides."""
    caller = await register(client)
    await make_superuser(cluster, database, caller.user_id)
    return caller


@pytest.fixture
async def stranger(served: FastAPI) -> AsyncIterator[Browser]:
    """Yield a browser that has not signed in."""
    async with browser(served) as found:
        yield found


@pytest.fixture
async def inside(served: FastAPI, root: Caller) -> AsyncIterator[Browser]:
    """Yield a browser in which the superuser has signed in."""
    async with browser(served) as found:
        answer = await found.sign_in(root.email)
        assert answer.status_code == 303, answer.text
        yield found
