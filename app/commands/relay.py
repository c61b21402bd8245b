"""`app relay`."""

import typer

from app.commands.failures import broker_told
from app.config import settings
from app.extensions import logs
from app.processes import on_a_loop, relay

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Hand what is due in the outbox to the workers until a signal. Any number may run; one is enough."""
    logs.configure(settings.log.level, settings.log.format)
    settings.need("auth.signing_keys")
    settings.need("database.relay_url")
    with broker_told(settings.need("broker.url")):
        on_a_loop(relay(settings))
