"""`app new`."""

from pathlib import Path
from typing import Annotated

import typer

from app.commands.writing import ROOT, write_reference, written
from app.scaffold.fields import DEFAULT, KINDS, read_fields
from app.scaffold.modules import draft_module
from app.scaffold.names import read_names
from app.scaffold.projects import make_project, read_title, refuse_place
from app.scaffold.reference import add_rows

cli = typer.Typer(add_completion=False, no_args_is_help=True)


@cli.callback()
def group() -> None:
    """Begin a module, or a project."""


@cli.command("module")
def module(
    name: Annotated[str, typer.Argument(help="What it is called, in the plural: tickets, purchase_orders.")],
    fancy: Annotated[bool, typer.Option("--fancy", help="Entities apart from rows, behind a Protocol.")] = False,
    fields: Annotated[str, typer.Option(help=f"name:type, or name:type? for optional: {', '.join(KINDS)}.")] = DEFAULT,
    singular: Annotated[str | None, typer.Option(help="What one is called, where leaving out an s is wrong.")] = None,
) -> None:
    """Write a module with its migration and tests, and its lines in models.py, routes.py, hub.py and worker.py.

    Asks nothing and needs no database. Exits with 2 for a name or a field that does not do; then nothing is written.
    """
    with written():
        names = read_names(ROOT, name, singular)
        draft = draft_module(ROOT, names, read_fields(fields), "fancy" if fancy else "simple")
        told = add_rows(draft, names)
        draft.commit()
    if not told:
        write_reference(ROOT)
    count = len(draft.changes)
    typer.echo(f"app/modules/{name} is there, with {count} files written or changed. Next: make run, or app migrate")


@cli.command("project")
def project(
    path: Annotated[Path, typer.Argument(help="A folder that is empty, or not there yet.")],
    name: Annotated[str | None, typer.Option(help="What it is called; after its folder unless given.")] = None,
) -> None:
    """Write a copy of this project without its modules, under a name of its own; `make test` passes there.

    Neither history, data, environment nor secrets go along. Exits with 2 when it cannot be there; then nothing is.
    """
    with written():
        place = path.expanduser().resolve()
        title = read_title(place, name)
        refuse_place(ROOT, place)
        make_project(ROOT, place, title)
    write_reference(place)
    typer.echo(f"{title} is there. Next: cd {place} && git init && make test && .venv/bin/app new module NAME")
