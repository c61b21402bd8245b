"""`app remove`."""

from typing import Annotated

import typer

from app.commands.writing import ROOT, write_reference, written
from app.scaffold.dropping import draft_drop
from app.scaffold.removal import draft_removal, refuse_missing

cli = typer.Typer(add_completion=False, no_args_is_help=True)


@cli.callback()
def group() -> None:
    """Take out what a project does without."""


@cli.command("module")
def module(name: Annotated[str, typer.Argument(help="Which module.")]) -> None:
    """Remove a module, and whatever names it; write the migration that drops its tables.

    Its lines in models.py, routes.py, hub.py and worker.py go, handlers of its events in other modules, its tests, and
    those of others that need it. Asks nothing and needs no database; the migrations that were stay. Exits with 2 when
    there is no such module, or other code needs it; then nothing is changed.
    """
    with written():
        refuse_missing(ROOT, name)
        draft = draft_removal(ROOT, [name])
        draft_drop(draft, name)
        draft.commit()
    write_reference(ROOT)
    gone = sum(text is None for text in draft.changes.values())
    changed = len(draft.changes) - gone
    typer.echo(f"{name} is out: {gone} files are gone, {changed} changed or new. Next: make run, or app migrate")
