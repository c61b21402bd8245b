"""What the commands that write code share: where, and one line for what stands in the way."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from app.scaffold.exceptions import ScaffoldError

ROOT = Path(__file__).resolve().parents[2]
"""The checkout that this code runs from."""


@contextmanager
def written() -> Iterator[None]:
    """End the command with one line and status 2 when nothing could be written."""
    try:
        if not (ROOT / "alembic" / "versions").is_dir():
            raise ScaffoldError(f"{ROOT} is no checkout of a project: this command runs in one, after `make setup`")
        yield
    except ScaffoldError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
