"""`app scheduler`."""

import asyncio

import typer

from app.commands.failures import ask, end_with
from app.config import settings
from app.db.checks import role_faults
from app.extensions import logs
from app.processes import on_a_loop, schedule
from app.worker import check

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Enqueue periodic tasks when they are due, until a signal; any number may run. Inline, none is needed."""
    check(settings)
    logs.configure(settings.log.level, settings.log.format)
    end_with(asyncio.run(ask(settings.need("database.worker_url"), role_faults)))
    on_a_loop(schedule(settings))
