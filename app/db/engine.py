"""The engine: a pool of connections that open a transaction and its settings in one round trip."""

from typing import Any

import asyncpg
import orjson
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db.compiler import TenantCompiler
from app.exceptions import UnavailableError
from app.sections import DatabaseSettings

SILENCE = 2.0
"""Seconds after a statement's own timeout that the server has to say so; then it is taken to be gone."""


class Connection(asyncpg.Connection):
    """A driver connection that sends `opening` together with the next BEGIN.

    The settings that choose a tenant are local to the transaction and arrive with its first bytes, so there is no
    moment at which a statement could run under another tenant's settings, and no extra round trip.
    """

    opening: str = ""

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:  # noqa: ASYNC109 - the driver's
        """Run a command; a BEGIN takes the opening statements with it, once."""
        if self.opening and query.startswith("BEGIN"):
            query, self.opening = query + self.opening, ""
        return await super().execute(query, *args, timeout=timeout)


class DatabaseAwayError(UnavailableError):
    """The database cannot be reached. Try again in a moment."""

    code = "database_away"


async def connect(*args: Any, generic_plans: bool = False, **options: Any) -> Any:
    """Connect; raise `DatabaseAwayError` when nobody answers, so that no other OSError is taken for it."""
    try:
        connection = await asyncpg.connect(*args, **options)
    except OSError as error:
        raise DatabaseAwayError from error
    if generic_plans:
        try:
            await connection.execute("set plan_cache_mode = force_generic_plan")
        except BaseException:
            connection.terminate()
            raise
    return connection


def to_json(value: Any) -> str:
    """Encode a jsonb value; identifiers and times become text."""
    return orjson.dumps(value, default=str).decode()


def create_engine(
    config: DatabaseSettings, url: str, pool_size: int | None = None, *, generic_plans: bool = False
) -> AsyncEngine:
    """Return an engine on `url`; `pool_size` connections at most, waited for `config.pool_timeout` seconds.

    The connection that was used last is taken first: what the server keeps for it is at hand. With `generic_plans`
    each statement is planned once for all its values, which suits few statements that take longer to plan than to run.

    With `config.pooler` (pgbouncer before 1.21 in transaction mode) nothing is prepared by name, so that a
    statement never meets a server connection that does not know it.
    """
    address = make_url(url)
    options: dict[str, Any] = {
        "async_creator_fn": connect,
        "connection_class": Connection,
        "timeout": 5,
        "command_timeout": config.statement_timeout + SILENCE,
        "generic_plans": generic_plans,
    }
    if config.pooler:
        options["statement_cache_size"] = 0
        address = address.update_query_dict({"prepared_statement_cache_size": "0"})
    engine = create_async_engine(
        address,
        pool_size=pool_size or config.pool_size,
        max_overflow=0,
        pool_timeout=config.pool_timeout,
        pool_recycle=1800,
        pool_use_lifo=True,
        connect_args=options,
        json_serializer=to_json,
        json_deserializer=orjson.loads,
        hide_parameters=True,
    )
    engine.dialect.statement_compiler = TenantCompiler
    event.listen(engine.sync_engine, "handle_error", give_up)
    return engine


def give_up(context: ExceptionContext) -> None:
    """Discard a connection on which nobody answered, and raise `DatabaseAwayError`: a ROLLBACK would wait for ever."""
    if isinstance(context.original_exception, TimeoutError):
        context.is_disconnect, context.invalidate_pool_on_disconnect = True, False
        raise DatabaseAwayError
