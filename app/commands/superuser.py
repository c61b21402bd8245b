"""`app create-superuser`."""

import asyncio
import sys
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from app.auth.schemas import SHORTEST_PASSWORD
from app.auth.superusers import create_superuser
from app.config import settings
from app.users.schemas import EmailAddress

cli = typer.Typer(add_completion=False)


@cli.command()
def run(
    email: str,
    full_name: Annotated[str, typer.Option(help="For a new person.")] = "Superuser",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Create a superuser, or make one of a known person, whose password then stays as it is.

    Connects as the migrator: the application's own roles cannot write `is_superuser`.
    """
    try:
        address = TypeAdapter(EmailAddress).validate_python(email)
    except ValidationError:
        typer.echo(f"{email!r} is not a valid e-mail address.", err=True)
        raise typer.Exit(2) from None
    password = sys.stdin.readline().rstrip("\n") if password_stdin else typer.prompt("Password", hide_input=True)
    if len(password) < SHORTEST_PASSWORD:
        typer.echo(f"The password must have at least {SHORTEST_PASSWORD} characters.", err=True)
        raise typer.Exit(2)
    created = asyncio.run(create_superuser(settings.need("database.migrate_url"), address, full_name, password))
    typer.echo(f"{address} is {'a new' if created else 'now a'} superuser.")
