"""`create_app()`: puts settings, engine, hub, gate and routers together."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from app.auth.dependencies import DatabaseGate
from app.config import Settings, settings
from app.console.site import PATHS, Console
from app.core.limits import RateLimits
from app.core.openapi import document
from app.core.routing import Router, Serving, check_routers, check_routes
from app.core.unit_of_work import UnitOfWork
from app.db.checks import refuse_unsafe
from app.db.engine import create_engine
from app.db.session import Database, Limits
from app.extensions import docs, logs, middleware, problems
from app.extensions.ratelimit import RateLimiter
from app.hub import MessageHub
from app.routes import PREFIX, ROUTERS
from app.services import Services
from app.services.mailer import FileMailer, MemoryMailer

DOCUMENT = "/openapi.json"
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
    address = url or config.need("database.url")
    secret = config.need("auth.signing_keys")[0].get_secret_value().encode()
    limits = RateLimits(config.limits, RateLimiter(config.broker.url, secret=secret))
    engine = create_engine(config.database, address)
    reserve = create_engine(config.database, address, config.database.separate_pool_size)
    sessions, beside = (session_maker(config, one, session_info or {}) for one in (engine, reserve))
    work = UnitOfWork(sessions, MessageHub, beside, services or outside_world(config), limits)
    console = Console(config, work) if config.server.console else None
    app = FastAPI(
        title=config.project_name,
        openapi_url=DOCUMENT if config.server.docs else None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=partial(lifespan, work=work, engines=(engine, reserve), console=console),
        middleware=middleware.stack(config.server, address_rate=config.limits.address),
    )
    if config.server.docs:
        docs.install(app)
    if console:
        console.install(app)
    app.state.serving = Serving(DatabaseGate(work), limits, config.validate_responses)
    problems.install(app)
    include(app, routers)
    return app


def bare_app() -> FastAPI:
    """Return an application that only describes itself: every operation is there, nothing is connected."""
    app = FastAPI(title=settings.project_name, openapi_url=DOCUMENT, docs_url=None, redoc_url=None)
    include(app, ROUTERS)
    return app


def session_maker(config: Settings, engine: AsyncEngine, info: Mapping[str, Any]) -> async_sessionmaker[Database]:
    """Return what makes sessions on a pool."""
    limits = Limits(config.database.statement_timeout, config.database.lock_timeout, config.database.idle_timeout)
    return async_sessionmaker(engine, class_=Database, expire_on_commit=False, info=dict(info), limits=limits)


def outside_world(config: Settings) -> Services:
    """Return the clients of the outside world that the settings ask for."""
    mail = config.mail
    return Services(FileMailer(Path(mail.folder), mail.sender) if mail.folder else MemoryMailer())


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
async def lifespan(
    _: FastAPI, work: UnitOfWork, engines: Sequence[AsyncEngine], console: Console | None
) -> AsyncIterator[None]:
    """Check the database before the first request; after the last one, finish the jobs and close what is open."""
    try:
        await refuse_unsafe(engines[0])
        yield
        await work.drain()
    finally:
        if console:
            console.close()
        await work.limits.limiter.close()
        for engine in engines:
            await engine.dispose()
