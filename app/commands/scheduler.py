"""`app scheduler`."""

import asyncio
import signal

import typer

from app.commands.failures import ask, end_with
from app.config import settings
from app.core.schedule import Scheduler
from app.db.checks import role_faults
from app.extensions import logs
from app.main import bare_app
from app.processes import Pools
from app.worker import SCHEDULE, check

cli = typer.Typer(add_completion=False)


@cli.command()
def run() -> None:
    """Enqueue periodic tasks when they are due, until a signal; any number may run. Inline, none is needed."""
    bare_app()
    check(settings)
    logs.configure(settings.log.level, settings.log.format)
    url = settings.need("database.worker_url")
    end_with(asyncio.run(ask(url, role_faults)))
    asyncio.run(serve(url))


async def serve(url: str) -> None:
    """Run the scheduler; a signal ends it between two transactions, or rolls one back."""
    pools = Pools.open(settings, url)
    running = asyncio.create_task(Scheduler(pools.work, SCHEDULE).run())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, running.cancel)
    try:
        await asyncio.wait([running])
        if not running.cancelled():
            running.result()
    finally:
        await pools.close()
