"""`app create-superuser`."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from app.auth.exceptions import WeakPasswordError
from app.auth.superusers import create_superuser, promote
from app.commands.failures import told
from app.config import settings
from app.users.schemas import EmailAddress
from app.utils.schemas import Name

cli = typer.Typer(add_completion=False)


def read_email(value: str) -> str:
    """Return an address in its normal form."""
    try:
        return TypeAdapter(EmailAddress).validate_python(value)
    except ValidationError:
        raise typer.BadParameter(f"{value!r} is not a valid e-mail address") from None


def read_name(value: str) -> str:
    """Return a name without the space around it."""
    try:
        return TypeAdapter(Name).validate_python(value)
    except ValidationError:
        raise typer.BadParameter("a name has 1 to 200 characters") from None


def read_password(*, from_stdin: bool) -> str:
    """Return the first line of standard input, or what the person types."""
    password: str = sys.stdin.readline().rstrip("\r\n") if from_stdin else typer.prompt("Password", hide_input=True)
    return password


@contextmanager
def accepted() -> Iterator[None]:
    """End the command with the reason when the password is refused."""
    try:
        yield
    except WeakPasswordError as error:
        raise typer.BadParameter(error.errors[0]["msg"], param_hint="password") from None


@cli.command()
def run(
    email: Annotated[str, typer.Argument(callback=read_email, help="Who; an unknown address makes a new person.")],
    full_name: Annotated[str, typer.Option(callback=read_name, help="For a new person.")] = "Superuser",
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Create a superuser, or make one of a known person, whose password stays and is not asked for.

    Who registered with the address and never verified it is not known: the account gets the new password.

    Connects as the migrator: the application's own roles cannot write `is_superuser`.
    """
    url = settings.need("database.migrate_url")
    with told(url):
        known = asyncio.run(promote(url, email))
    if not known:
        password = read_password(from_stdin=password_stdin)
        with told(url), accepted():
            asyncio.run(create_superuser(url, email, full_name, password))
    typer.echo(f"{email} is {'now a' if known else 'a new'} superuser.")
