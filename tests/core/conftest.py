"""Applications with an operation of the test's own."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.config import Settings, settings
from app.main import create_app
from app.routes import ROUTERS
from tests.core.bench import Bench, open_bench
from tests.core.chores import CHORES
from tests.core.deliveries import Post, open_post
from tests.core.trial import Step, trial_router
from tests.support import Caller, Cluster, serve

Stage = Callable[..., AbstractAsyncContextManager[Caller]]


def configured(**database: Any) -> Settings:
    """Return the settings with other values for the database."""
    return settings.model_copy(update={"database": settings.database.model_copy(update=database)})


@pytest.fixture
def stage(cluster: Cluster, database: str) -> Stage:
    """Return what puts a caller in front of an application that runs a step at POST and GET /trial."""

    @asynccontextmanager
    async def put(
        caller: Caller, step: Step, info: dict[str, Any] | None = None, **limits: Any
    ) -> AsyncIterator[Caller]:
        url, routers = cluster.url("app_rw", database), [*ROUTERS, trial_router(step)]
        async with serve(create_app(configured(**limits), url=url, routers=routers, session_info=info)) as client:
            yield replace(caller, client=client)

    return put


@pytest.fixture(scope="module")
async def opened(cluster: Cluster) -> AsyncIterator[Post]:
    """Make one database with events of the tests' own, for a file."""
    async with open_post(cluster) as post:
        yield post


@pytest.fixture
async def post(opened: Post) -> Post:
    """Return that database without entries and effects."""
    await opened.clear()
    return opened


@pytest.fixture(scope="module")
async def bench(cluster: Cluster) -> AsyncIterator[Bench]:
    """Open a bench with tasks of the tests' own, for a file."""
    async with open_bench(cluster, CHORES) as found:
        yield found


@pytest.fixture
async def tenant(bench: Bench) -> uuid.UUID:
    """Make a tenant for one test."""
    return await bench.tenant()


@pytest.fixture
def name() -> str:
    """Return a name that no other test writes down."""
    return uuid.uuid4().hex
