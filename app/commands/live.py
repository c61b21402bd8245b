"""A table of what the outbox holds: once, or again and again until a signal."""

import asyncio
import datetime as dt
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from app.commands.failures import in_words
from app.commands.operating import operate
from app.config import settings
from app.core.operator import Operator
from app.core.outbox import Kind, Status
from app.core.overview import Line, Overview, look
from app.exceptions import AppError
from app.processes import Roles, until_signalled
from app.utils.helpers import utcnow
from app.worker import check

WIDEST = 1000
MOST_LINES = 100
"""Entries in a table that is printed once."""

FEWEST_LINES, FRAME = 3, 11
"""Entries in a terminal, however low it is, and the rows that headings, borders and the caption take."""

LONGEST_CELL = 200
PATIENCE = 15.0
"""Seconds that the database may take before it counts as away."""

UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))

Lively = Annotated[bool, typer.Option("--live", help="Show what the database holds, and refresh it until Ctrl-C.")]
Once = Annotated[bool, typer.Option("--once", help="As --live, but one table and no more; so it is in a pipe.")]
Every = Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks of --live.")]


def show(kind: Kind, *, every: float, once: bool) -> None:
    """Print what there is of a kind; in a terminal again and again, unless `once`, until a signal: exit 0."""
    check(settings)
    inside = sys.stdout.isatty()
    console = Console(width=None if inside else WIDEST)
    if once or not inside or console.is_dumb_terminal:
        console.print(frame(View(kind, operate(lambda operator: look(operator, kind, MOST_LINES)), utcnow())))
    else:
        operate(lambda operator: watch(operator, kind, console, every))


@dataclass(frozen=True)
class View:
    """What is on the screen: the newest look that there was, its moment, and why there is no newer one."""

    kind: Kind
    overview: Overview = field(default_factory=Overview)
    at: dt.datetime | None = None
    trouble: str = ""


async def watch(operator: Operator, kind: Kind, console: Console, every: float) -> None:
    """Refresh the table until a signal."""
    with Live(frame(View(kind)), console=console, screen=True, auto_refresh=False) as live:
        watching = asyncio.create_task(refresh(operator, live, View(kind), every))
        async with until_signalled(watching.cancel):
            await asyncio.wait({watching})
    if not watching.cancelled():
        watching.result()


async def refresh(operator: Operator, live: Live, view: View, every: float) -> None:
    """Look again and again; while the database is away, the table stands as it was, and says so."""
    while True:
        height = live.console.height
        try:
            async with asyncio.timeout(PATIENCE):
                found = await look(operator, view.kind, height)
            lines = found.lines[: max(FEWEST_LINES, height - FRAME - len(found.counts))]
            view = View(view.kind, replace(found, lines=lines), utcnow())
        except (AppError, SQLAlchemyError, OSError) as error:
            view = replace(view, trouble=in_words(Roles.of(settings).worker, error))
        live.update(frame(view), refresh=True)
        await asyncio.sleep(every)


def frame(view: View) -> Group:
    """Return both tables: the counts, and the entries."""
    who = "handler" if view.kind == Kind.delivery else "task"
    title = "Deliveries" if view.kind == Kind.delivery else "Tasks"
    return Group(counted(view.overview.counts, who, title), listed(view, who))


def counted(counts: Mapping[str, Mapping[str, int]], who: str, title: str) -> Table:
    """Return how many there are of each name, by status."""
    found = Table(who, *Status, title=title)
    for name, states in sorted(counts.items()):
        found.add_row(cell(name), *(str(states.get(status, 0)) for status in Status))
    return found


def listed(view: View, who: str) -> Table:
    """Return the entries, a line each; the caption tells how old they are."""
    first = ("event", who) if view.kind == Kind.delivery else (who,)
    last = ("error",) if view.kind == Kind.delivery else ("progress", "error")
    found = Table(caption=caption(view), caption_justify="left")
    for name in (*first, "tenant", "status", "attempts", "age", *last):
        found.add_column(name, no_wrap=True, overflow="ellipsis")
    for line in view.overview.lines:
        found.add_row(*map(cell, cells(line, view.kind)))
    return found


def cells(line: Line, kind: Kind) -> tuple[str, ...]:
    """Return what is shown of an entry."""
    shared = str(line.tenant_id), line.status, f"{line.attempts}/{line.max_attempts}", age(line.age)
    if kind == Kind.delivery:
        return line.action, line.name, *shared, line.error
    progress = " ".join(f"{name}={value}" for name, value in line.progress.items())
    return line.name, *shared, progress, line.error


def caption(view: View) -> Text:
    """Return when this was so, and why it is not newer."""
    seen = f"as of {view.at:%H:%M:%S} UTC" if view.at else "not seen yet"
    return cell(f"{seen}; {view.trouble}; asked again" if view.trouble else seen)


def cell(value: str) -> Text:
    """Return a text as it may stand in a terminal: no control characters, no markup, and one line."""
    short = value[:LONGEST_CELL]
    return Text("".join(sign if sign.isprintable() else " " for sign in short))


def age(value: dt.timedelta) -> str:
    """Return a time in its largest unit."""
    seconds = max(0, int(value.total_seconds()))
    unit, size = next(((unit, size) for unit, size in UNITS if seconds >= size), UNITS[-1])
    return f"{seconds // size} {unit}"
