"""What a command says when the database fails it: one line, and status 1."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

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
