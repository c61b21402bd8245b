"""`app purge`."""

import asyncio

import typer
from sqlalchemy.ext.asyncio import async_sessionmaker

from app.commands.failures import told
from app.config import settings
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.session import Database, Limits
from app.hub import MessageHub
from app.main import bare_app
from app.tenants.services import RetentionService

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Remove for good what was deleted long enough ago: the rows of deleted tenants. Run it daily; safe at any time."""
    bare_app()
    url = settings.need("database.url")
    with told(url):
        removed = asyncio.run(purge(url))
    typer.echo(f"Removed {removed} tenant{'' if removed == 1 else 's'}.")


async def purge(url: str) -> int:
    """Remove what is due, without a limit of time for a statement; return how many tenants it was."""
    engine = create_engine(settings.database, url)
    limits = Limits(statement=0, idle=0)
    sessions = async_sessionmaker(engine, class_=Database, expire_on_commit=False, limits=limits)
    try:
        async with UnitOfWork(sessions, MessageHub).begin() as ctx:
            return len(await RetentionService(ctx).purge())
    finally:
        await engine.dispose()
