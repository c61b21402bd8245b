"""`app migrate`."""

import asyncio
from typing import Annotated

import typer
from sqlalchemy.engine import make_url

from app.config import settings
from app.db import migrations

cli = typer.Typer(add_completion=False)


@cli.command()
def run(
    sql: Annotated[
        bool, typer.Option("--sql", help="Print everything as SQL, roles and grants too; do nothing.")
    ] = False,
    admin_url: Annotated[str, typer.Option(help="A superuser's address: makes roles and database first.")] = "",
    database: Annotated[str, typer.Option(help="The database's name, for --sql and --admin-url.")] = "app",
) -> None:
    """Bring the database's schema to the newest revision; one at a time, and idempotent."""
    if sql:
        typer.echo(migrations.script(database))
        return
    url = settings.need("database.migrate_url")
    if admin_url:
        name = make_url(url).database or database
        asyncio.run(migrations.prepare(admin_url, name, settings.database.role_prefix))
        url = migrations.inside(admin_url, name)
    migrations.upgrade(url)
    typer.echo("The schema is up to date.")
