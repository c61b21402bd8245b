"""What the commands for operators share: a look and a hand in the outbox, and one line for what goes wrong."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer

from app.commands.failures import told
from app.config import Settings, settings
from app.core.operator import Operator
from app.db.engine import create_engine
from app.exceptions import AppError
from app.extensions import logs
from app.processes import Pools, Roles, outside_world

Found = TypeVar("Found")


def operate(step: Callable[[Operator], Awaitable[Found]]) -> Found:
    """Return what a step finds; end with one line and status 1 when the database or the application refuses."""
    logs.configure(settings.log.level, settings.log.format)
    roles = Roles.of(settings)
    with told(roles.worker):
        try:
            return asyncio.run(with_operator(settings, roles, step))
        except (AppError, ValueError) as error:
            typer.echo(f"{type(error).__name__}: {error}" if isinstance(error, ValueError) else str(error), err=True)
            raise typer.Exit(1) from None


async def with_operator(config: Settings, roles: Roles, step: Callable[[Operator], Awaitable[Found]]) -> Found:
    """Open what an operator needs, and close it."""
    pools = Pools.open(config, roles.worker, services=outside_world(config))
    relay = create_engine(config.database, roles.relay, 1)
    try:
        return await step(Operator(relay, pools.work))
    finally:
        await relay.dispose()
        await pools.work.services.close()
        await pools.close()
