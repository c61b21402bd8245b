"""`app migrate`."""

import asyncio
from typing import Annotated

import typer
from alembic.util import CommandError
from pydantic import ValidationError
from sqlalchemy.engine import make_url

from app.commands.failures import told
from app.config import settings
from app.db import migrations
from app.sections import DatabaseSettings

cli = typer.Typer(add_completion=False)


def read_address(value: str) -> str:
    """Return a database's address, if it is written as those of the settings are."""
    try:
        return DatabaseSettings(url=value).url
    except ValidationError as error:
        raise typer.BadParameter(error.errors()[0]["msg"].removeprefix("Value error, ")) from None


@cli.command()
def run(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print everything as SQL, roles and grants too; do nothing.")
    ] = False,
    admin_url: Annotated[
        str, typer.Option(callback=read_address, help="A superuser's address: makes roles and database first.")
    ] = "",
    database: Annotated[str, typer.Option(help="The database's name, for --sql and --admin-url.")] = "app",
) -> None:
    """Bring the database's schema to the newest revision; one at a time, and idempotent."""
    if sql:
        typer.echo(migrations.script(database))
        return
    url = settings.need("database.migrate_url")
    if admin_url:
        name = make_url(url).database or database
        with told(admin_url):
            asyncio.run(migrations.prepare(admin_url, name, settings.database.role_prefix))
        url = migrations.inside(admin_url, name)
    with told(url):
        upgrade(url)
    typer.echo("The schema is up to date.")


def upgrade(url: str) -> None:
    """Migrate; a database that is newer than this code is told in one line."""
    try:
        migrations.upgrade(url)
    except CommandError as error:
        typer.echo(f"The migrations do not lead on from where the database stands: {error}", err=True)
        raise typer.Exit(1) from None
