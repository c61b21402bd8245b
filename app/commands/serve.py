"""`app serve`."""

import asyncio
from typing import Annotated

import typer
import uvicorn

from app.commands.failures import ask, end_with
from app.config import settings
from app.db.checks import role_faults
from app.extensions import server
from app.main import bare_app

cli = typer.Typer(add_completion=False)


@cli.command()
def run(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="How many processes answer.")] = 1,
    drain: Annotated[int, typer.Option(min=0, help="Seconds for requests under way when it is told to stop.")] = 30,
) -> None:
    """Serve the API until a signal; requests under way are finished first. Exits 1 for a database that is not safe."""
    bare_app()
    settings.need("auth.signing_keys")
    end_with(asyncio.run(ask(settings.need("database.url"), role_faults)))
    server.allow_files(settings.server.connections)
    uvicorn.run("app.asgi:app", host=host, port=port, workers=workers, **server.options(drain))
