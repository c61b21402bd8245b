"""`app audit`."""

import asyncio
import uuid
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.audit.adapters import AnchorFile
from app.audit.chain import configured_anchor
from app.audit.verify import BadRowError, Report, Verifier
from app.commands.failures import told
from app.config import settings

cli = typer.Typer(add_completion=False)


@cli.callback()
def group() -> None:
    """Look after the audit."""


@cli.command("verify")
def verify(
    tenant: Annotated[uuid.UUID | None, typer.Option(help="Verify this tenant alone.")] = None,
    anchor: Annotated[Path | None, typer.Option(help="The anchor's file, instead of `audit.anchor`.")] = None,
) -> None:
    """Hold every entry against its digest, its tenant's chain and the anchor.

    Exits with 0 when all is whole; with 1 otherwise, and the last line names the first row that is bad or missing.
    """
    url, relay_url = settings.need("database.url"), settings.need("database.relay_url")
    chosen = AnchorFile(anchor) if anchor else configured_anchor()
    try:
        with told(url):
            report = asyncio.run(look(url, relay_url, chosen, tenant))
    except BadRowError as error:
        typer.echo(str(error))
        raise typer.Exit(1) from None
    if chosen is None:
        typer.echo("There is no anchor (audit.anchor): entries that were cut off with the end of a chain do not show.")
    counts = f"{report.entries} entries chained in {report.tenants} tenants, {report.waiting} not chained yet"
    typer.echo(f"Whole: {counts}.")


async def look(url: str, relay_url: str, anchor: AnchorFile | None, tenant: uuid.UUID | None) -> Report:
    """Verify with connections as the application and as the relay."""
    application, relay = (
        create_async_engine(one, poolclass=NullPool, hide_parameters=True) for one in (url, relay_url)
    )
    try:
        return await Verifier(application, relay, anchor).run(tenant)
    finally:
        await application.dispose()
        await relay.dispose()
