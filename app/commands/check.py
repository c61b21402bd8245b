"""`app check`."""

import asyncio
from collections.abc import Iterator

import typer

from app.audit.chain import configured_anchor
from app.commands.failures import ask, end_with
from app.config import KNOWN, Settings, settings
from app.db.checks import grant_faults, policy_faults, role_faults
from app.main import bare_app

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Print where each setting comes from, and check them, declarations, roles, grants and policies.

    Exits 1 with a line for each fault.
    """
    typer.echo("\n".join(origins(settings)))
    bare_app()
    settings.need("auth.signing_keys")
    configured_anchor()
    faults = [
        *asyncio.run(ask(settings.need("database.url"), role_faults)),
        *asyncio.run(ask(settings.need("database.migrate_url"), grant_faults)),
        *asyncio.run(ask(settings.need("database.migrate_url"), policy_faults)),
    ]
    end_with(list(dict.fromkeys(faults)))  # two checks may find the same
    typer.echo("Settings, operations, roles, grants and policies are as they should be.")


def origins(config: Settings) -> Iterator[str]:
    """Yield a line for each setting with the strongest place that sets it, and never with its value."""
    sections = {key.rpartition(".")[0] for key in KNOWN}
    width = max(map(len, KNOWN))
    for key in sorted(KNOWN.keys() - sections):
        origin = config.origins.get(key)
        yield f"{key:{width}}  {origin.kind:12}  {origin.place}" if origin else f"{key:{width}}  default"
