"""What the tests of the engine share: looking at processes, waiting, asking the database."""

import asyncio
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.embedded.postgres import SUPERUSER, Postgres
from app.embedded.ways import command_lines


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until a condition holds, and return its value; fail when that takes too long."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.01)
    return value


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be collected does not."""
    return bool(command_lines(pid).get(pid))


def ask(postgres: Postgres, *statements: str) -> Any:
    """Run statements as the superuser, at the address that the engine gives; return the last one's first value."""

    async def run() -> Any:
        url = postgres.url(SUPERUSER, "postgres")
        engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            results = [await connection.execute(text(statement)) for statement in statements]
            value = results[-1].scalar() if results[-1].returns_rows else None
        await engine.dispose()
        return value

    return asyncio.run(run())


def kill_everything(postgres: Postgres) -> None:
    """Kill the server and all its children at once, as a power cut would."""
    pid = postgres.pid
    assert pid is not None
    family = [pid, *children_of(postgres)]
    for member in family:
        with suppress(ProcessLookupError):  # the server lets go of children at any time
            os.kill(member, signal.SIGKILL)
    until(lambda: not postgres.is_running() and not any(alive(member) for member in family))


def children_of(postgres: Postgres) -> list[int]:
    """Return the pids of the server's children."""
    return [pid for pid, line in command_lines().items() if line.startswith(f"postgres: {postgres.label}: ")]


def names(folder: Path) -> list[str]:
    """Return what is in a folder."""
    return sorted(entry.name for entry in folder.iterdir())
