"""`app purge`."""

import asyncio

import typer
from sqlalchemy.ext.asyncio import async_sessionmaker

from app.auth.services.retention import SignInRetentionService
from app.commands.failures import end_with, told
from app.config import settings
from app.core.exceptions import TenantsFailedError
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.session import Database, Limits
from app.hub import MessageHub
from app.tenants.services import RetentionService
from app.worker import check

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Remove for good tenants and sign-ins that ended long enough ago. Run it daily; it is safe at any time."""
    check(settings)
    url = settings.need("database.url")
    try:
        with told(url):
            removed = asyncio.run(purge(url))
    except TenantsFailedError as error:
        end_with([f"The purge {error}"])
    else:
        typer.echo(", ".join(f"{name}: {count}" for name, count in removed.items()) + " removed.")


async def purge(url: str) -> dict[str, int]:
    """Remove what is due, without a limit of time for a statement; return how many it was of each kind."""
    engine = create_engine(settings.database, url)
    limits = Limits(statement=0, idle=0)
    sessions = async_sessionmaker(engine, class_=Database, expire_on_commit=False, limits=limits)
    work = UnitOfWork(sessions, MessageHub)
    try:
        async with work.begin() as ctx:
            sign_ins = await SignInRetentionService(ctx).purge()
        async with work.begin() as ctx:
            return {"tenants": len(await RetentionService(ctx).purge()), "sign-ins": sign_ins}
    finally:
        await engine.dispose()
