"""`app worker`."""

import asyncio
from typing import Annotated

import typer

from app.commands.failures import ask, broker_told, end_with
from app.config import settings
from app.db.checks import role_faults
from app.extensions import logs
from app.main import bare_app
from app.processes import work

cli = typer.Typer(add_completion=False)


@cli.command()
def run(
    drain: Annotated[int, typer.Option(min=0, help="Seconds for what runs when it is told to stop.")] = 30,
) -> None:
    """Carry out deliveries and tasks until a signal; what runs is finished first, or given back.

    Any number may run, on any number of machines. Exits 1 for a database that is not safe.
    """
    bare_app()
    logs.configure(settings.log.level, settings.log.format)
    settings.need("auth.signing_keys")
    end_with(asyncio.run(ask(settings.need("database.worker_url"), role_faults)))
    with broker_told(settings.need("broker.url")):
        asyncio.run(work(settings, grace=drain))
