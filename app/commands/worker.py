"""`app worker`."""

import asyncio
from typing import Annotated

import typer

from app.commands.failures import ask, broker_told, end_with
from app.config import settings
from app.db.checks import role_faults
from app.extensions import logs
from app.processes import on_a_loop, work
from app.worker import check

cli = typer.Typer(add_completion=False)


def read_queues(values: list[str] | None) -> list[str]:
    """Return the queues; nothing would ever come into one that is none."""
    for value in values or []:
        if value not in settings.tasks.queues:
            raise typer.BadParameter(
                f"there is no queue {value!r}: tasks.queues has {', '.join(settings.tasks.queues)}"
            )
    return values or []


@cli.command()
def run(
    drain: Annotated[int, typer.Option(min=0, help="Seconds for what runs when it is told to stop.")] = 30,
    queue: Annotated[
        list[str] | None,
        typer.Option(callback=read_queues, help="Serve this one alone; as often as needed, the first one first."),
    ] = None,
) -> None:
    """Carry out deliveries and tasks until a signal; what runs is finished first, or given back.

    Any number may run, on any number of machines. Exits 1 for a database that is not safe.
    """
    check(settings)
    logs.configure(settings.log.level, settings.log.format)
    settings.need("auth.signing_keys")
    end_with(asyncio.run(ask(settings.need("database.worker_url"), role_faults)))
    with broker_told(settings.need("broker.url")):
        on_a_loop(work(settings, grace=drain, queues=queue or ()))
