"""The connections on the event loop, made like RQ's own blocking ones; and what counts as a Redis that is away."""

import asyncio
from collections.abc import Iterable
from typing import Any

import redis
import redis.asyncio
import redis.asyncio.connection
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from rq.connections import get_connection_kwargs

OUTAGES = (
    redis.exceptions.ConnectionError,
    redis.exceptions.TimeoutError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.OutOfMemoryError,
    OSError,
)
"""What passes: the worker waits and asks again. Loading after a restart is a ConnectionError."""

PATIENCE = 60
"""Seconds for an answer. Too short would be worse than long: a Redis that hung answers the old request, too."""

KINDS: dict[type[Any], type[Any]] = {
    redis.Connection: redis.asyncio.Connection,
    redis.SSLConnection: redis.asyncio.SSLConnection,
    redis.UnixDomainSocketConnection: redis.asyncio.UnixDomainSocketConnection,
}
CLOSING = 2.0
"""Seconds for a connection to close; redis-py may wait for one that broke until its timeout for connecting."""
OWN = ("retry", "retry_on_error", "retry_on_timeout", "parser_class", "socket_timeout", "credential_provider_class")
"""What is not taken over: the worker itself asks again, in its own way."""


def on_the_loop(connection: "redis.Redis") -> "redis.asyncio.Redis":
    """Return a client for the event loop with the address and credentials of a blocking one.

    Raises TypeError for kinds of connections that it does not know (Sentinel, Cluster): hand the worker a client then.
    """
    pool = connection.connection_pool
    kind = KINDS.get(pool.connection_class)
    if kind is None:
        raise TypeError(f"No asyncio twin of {pool.connection_class.__name__} is known: pass `client=` to the worker.")
    arguments = {name: value for name, value in get_connection_kwargs(connection).items() if name not in OWN}
    return redis.asyncio.Redis.from_pool(
        redis.asyncio.ConnectionPool(
            connection_class=kind, retry=Retry(NoBackoff(), 0), socket_timeout=PATIENCE, **arguments
        )
    )


async def ended(tasks: "Iterable[asyncio.Task[None]]", *, cancel: bool = True) -> None:
    """Cancel tasks and wait until they have ended, but not for ever."""
    waited_for = set(tasks)
    for task in waited_for if cancel else ():
        task.cancel()
    if waited_for:
        await asyncio.wait(waited_for, timeout=CLOSING)
