"""`app check`."""

import asyncio
from collections.abc import Awaitable, Callable

import typer
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.commands.failures import FAILURES, in_words
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
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
    typer.echo("Settings, operations, roles and policies are as they should be.")


async def ask(url: str, question: Callable[[AsyncEngine], Awaitable[list[str]]]) -> list[str]:
    """Return what a check finds on an address; a database that fails is a finding."""
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        return await question(engine)
    except FAILURES as error:
        return [in_words(url, error)]
    finally:
        await engine.dispose()
