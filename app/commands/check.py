"""`app check`."""

import asyncio

import typer

from app.commands.failures import ask, end_with
from app.config import settings
from app.db.checks import policy_faults, role_faults
from app.main import bare_app

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Check the settings, the declarations of every operation, the roles and every policy; exits 1 with each fault."""
    bare_app()
    settings.need("auth.signing_keys")
    faults = [
        *asyncio.run(ask(settings.need("database.url"), role_faults)),
        *asyncio.run(ask(settings.need("database.migrate_url"), policy_faults)),
    ]
    end_with(faults)
    typer.echo("Settings, operations, roles and policies are as they should be.")
