"""What a command says when the database fails it: one line, and status 1."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import typer
from redis import RedisError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.extensions.redaction import redact

FAILURES = (OSError, DBAPIError)
"""What is raised when a database is away, or refuses."""


@contextmanager
def told(url: str) -> Iterator[None]:
    """End the command with one line in place of a traceback when the database at `url` fails."""
    try:
        yield
    except FAILURES as error:
        typer.echo(in_words(url, error), err=True)
        raise typer.Exit(1) from None


def in_words(url: str, error: Exception) -> str:
    """Return which database failed, and how; never its password, nor the statement."""
    cause: BaseException | None = error
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
    verb = "refuses" if isinstance(error, DBAPIError) else "does not answer"
    said = " ".join(str(cause).split()) or type(cause).__name__
    return f"the database at {make_url(url).render_as_string()} {verb}: {said}"


async def ask(url: str, question: Callable[[AsyncEngine], Awaitable[list[str]]]) -> list[str]:
    """Return what a check finds on an address; a database that fails is a finding."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        return await question(engine)
    except FAILURES as error:
        return [in_words(url, error)]
    finally:
        await engine.dispose()


def end_with(faults: Sequence[str]) -> None:
    """End the command with status 1 and a line for each fault; go on when there is none."""
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)


@contextmanager
def broker_told(url: str) -> Iterator[None]:
    """End the command with one line in place of a traceback when the broker at `url` does not answer."""
    try:
        yield
    except RedisError as error:
        typer.echo(f"the broker at {redact(url)} does not answer: {error}", err=True)
        raise typer.Exit(1) from None
