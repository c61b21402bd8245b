"""Applications with an operation of the test's own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from app.config import Settings, settings
from app.main import create_app
from app.routes import ROUTERS
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
