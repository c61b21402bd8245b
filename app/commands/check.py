"""`app check`."""

import asyncio

import typer

from app.commands.failures import ask, end_with
from app.config import settings
from app.db.checks import grant_faults, policy_faults, role_faults
from app.main import bare_app

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Check settings, declarations of operations, roles, grants and policies; exits 1 with a line for each fault."""
    bare_app()
    settings.need("auth.signing_keys")
    faults = [
        *asyncio.run(ask(settings.need("database.url"), role_faults)),
        *asyncio.run(ask(settings.need("database.migrate_url"), grant_faults)),
        *asyncio.run(ask(settings.need("database.migrate_url"), policy_faults)),
    ]
    end_with(list(dict.fromkeys(faults)))  # two checks may find the same
    typer.echo("Settings, operations, roles, grants and policies are as they should be.")
