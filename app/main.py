"""`create_app()`: puts settings, engine, hub, gate and routers together."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.auth.dependencies import DatabaseGate
from app.config import Settings, settings
from app.core.openapi import document
from app.core.permissions import built_in_roles
from app.core.routing import Router, Serving, check_routers, check_routes
from app.core.unit_of_work import UnitOfWork
from app.db.checks import refuse_unsafe
from app.db.engine import create_engine
from app.db.session import Database, Limits
from app.extensions import logs, middleware, problems
from app.hub import MessageHub
from app.routes import PREFIX, ROUTERS

DOCUMENT = "/openapi.json"
PAGES = frozenset({DOCUMENT, "/docs", "/docs/oauth2-redirect"})


def create_app(
    config: Settings = settings,
    *,
    url: str | None = None,
    roles: Mapping[str, frozenset[str]] | None = None,
    routers: Sequence[Router] = tuple(ROUTERS),
    session_info: Mapping[str, Any] | None = None,
) -> FastAPI:
    """Return the application; it connects when it starts, and then refuses a database that is not safe.

    For tests: another `url`, other `roles`, more `routers`, and the `session_info` that can switch the filter off.
    """
    logs.configure(config.log.level, config.log.format)
    address = url or config.need("database.url")
    config.need("auth.signing_keys")
    engine = create_engine(config.database, address)
    reserve = create_engine(config.database, address, config.database.separate_pool_size)
    work = unit_of_work(config, engine, reserve, session_info or {})
    app = FastAPI(
        title=config.project_name,
        openapi_url=DOCUMENT,
        redoc_url=None,
        lifespan=partial(lifespan, engines=(engine, reserve)),
        middleware=middleware.stack(body_limit=config.server.body_limit, body_seconds=config.server.body_seconds),
    )
    app.state.serving = Serving(DatabaseGate(work, roles or built_in_roles()), config.validate_responses)
    problems.install(app)
    include(app, routers)
    return app


def bare_app() -> FastAPI:
    """Return an application that only describes itself: every operation is there, nothing is connected."""
    app = FastAPI(title=settings.project_name, openapi_url=DOCUMENT, redoc_url=None)
    include(app, ROUTERS)
    return app


def unit_of_work(config: Settings, engine: AsyncEngine, reserve: AsyncEngine, info: Mapping[str, Any]) -> UnitOfWork:
    """Return what opens transactions on the two pools."""
    limits = Limits(config.database.statement_timeout, config.database.lock_timeout, config.database.idle_timeout)
    options: dict[str, Any] = {
        "class_": Database,
        "expire_on_commit": False,
        "info": dict(info),
        "limits": limits,
    }
    return UnitOfWork(async_sessionmaker(engine, **options), MessageHub, async_sessionmaker(reserve, **options))


def include(app: FastAPI, routers: Sequence[Router]) -> None:
    """Add the routers under the prefix and the document beside them; refuse what came in past `Router`."""
    MessageHub.refuse_unheard()
    check_routers(*routers)
    api = APIRouter(prefix=PREFIX)
    for router in routers:
        api.include_router(router)
    app.include_router(api)
    check_routes(app, beside=PAGES)
    app.openapi = partial(document, app)  # type: ignore[method-assign]


@asynccontextmanager
async def lifespan(_: FastAPI, engines: Sequence[AsyncEngine]) -> AsyncIterator[None]:
    """Check the database before the first request, close the pools after the last one."""
    try:
        await refuse_unsafe(engines[0])
        yield
    finally:
        for engine in engines:
            await engine.dispose()
