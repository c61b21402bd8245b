"""What the commands that write code share: where, and one line for what stands in the way."""

import os
import subprocess
import sys
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


def write_reference(root: Path) -> None:
    """Write the reference of a checkout anew, in a process of its own: this one has loaded what was there before."""
    program = root / "docs" / "reference" / "generate.py"
    if not program.is_file():
        return
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    found = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, str(program)],
        cwd=root,
        env={**environment, "PYTHONPATH": str(root)},
        capture_output=True,
        check=False,
    )
    if found.returncode:
        typer.echo("docs/reference could not be written: make docs says why", err=True)
