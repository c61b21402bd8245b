"""`app openapi`."""

import json

import typer

from app.core.openapi import document
from app.main import bare_app

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Print the OpenAPI document; needs no database."""
    typer.echo(json.dumps(document(bare_app()), indent=2, ensure_ascii=False))
