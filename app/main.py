"""`create_app()`: puts settings, engine, hub, gate and routers together."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from app.auth.dependencies import DatabaseGate
from app.config import Settings, settings
from app.console.site import PATHS, Console
from app.core.openapi import document
from app.core.routing import Router, Serving, check_routers, check_routes
from app.db.checks import refuse_unsafe
from app.extensions import docs, logs, middleware, problems
from app.extensions.leaving import Farewell, Leaving
from app.extensions.vault import looking_after_vault
from app.processes import Pools, Roles, announcing, inline, outside_world, shared_limits
from app.routes import PREFIX, REHEARSALS, ROUTERS
from app.services import Services
from app.worker import check

DOCUMENT = "/openapi.json"
Background = Callable[[], AbstractAsyncContextManager[None]]
"""What works beside the requests of a process, while it is open."""
PAGES = frozenset({DOCUMENT, *docs.PATHS, *PATHS})


def create_app(
    config: Settings = settings,
    *,
    url: str | None = None,
    routers: Sequence[Router] = tuple(ROUTERS),
    session_info: Mapping[str, Any] | None = None,
    services: Services | None = None,
) -> FastAPI:
    """Return the application; it connects when it starts, and then refuses a database that is not safe.

    For tests: another `url`, more `routers`, other `services`, and `session_info`, which can switch the
    filter off.
    """
    logs.configure(config.log.level, config.log.format)
    services, limits = services or outside_world(config), shared_limits(config)
    address, roles = url or config.need("database.url"), Roles.of(config, url)
    pools = Pools.open(config, address, services=services, limits=limits, info=session_info)
    console = Console(config, pools.work) if config.server.console else None
    background: Background = partial(inline, config, pools, roles)
    if config.tasks.mode == "worker":
        background = partial(announcing, pools, config.need("broker.url"))
    leaving = Leaving(config.server.notice_seconds)
    app = FastAPI(
        title=config.project_name,
        openapi_url=DOCUMENT if config.server.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=partial(lifespan, config=config, pools=pools, console=console),
        middleware=[
            Middleware(Farewell, leaving=leaving),
            *middleware.stack(config.server, address_rate=config.limits.address),
        ],
    )
    if config.server.docs:
        docs.install(app)
    if console:
        console.install(app)
    app.state.background, app.state.leaving = background, leaving
    app.state.serving = Serving(DatabaseGate(pools.work), limits, config.validate_responses)
    problems.install(app)
    include(app, config, routers)
    return app


def bare_app() -> FastAPI:
    """Return an application that only describes itself: every operation is there, nothing is connected."""
    app = FastAPI(title=settings.project_name, openapi_url=DOCUMENT, docs_url=None, redoc_url=None)
    include(app, settings, ROUTERS)
    return app


def include(app: FastAPI, config: Settings, routers: Sequence[Router]) -> None:
    """Add the routers under the prefix and the document beside them; refuse what came in past `Router`.

    Refuse, too, what could not work later: see `app.worker.check`.
    """
    check(config)
    if config.env != "production":
        routers = [*routers, *REHEARSALS]
    check_routers(*routers)
    for router in routers:
        app.include_router(router, prefix=PREFIX)
    check_routes(app, beside=PAGES)
    app.openapi = partial(document, app)  # type: ignore[method-assign]


@asynccontextmanager
async def lifespan(app: FastAPI, config: Settings, pools: Pools, console: Console | None) -> AsyncIterator[None]:
    """Check the database before the first request; after the last one, close what is open."""
    try:
        await refuse_unsafe(pools.engine)
        async with looking_after_vault(config), app.state.background():
            with app.state.leaving.heard():
                yield
    finally:
        if console:
            console.close()
        await pools.work.limits.limiter.close()
        await pools.work.services.close()
        await pools.close()
