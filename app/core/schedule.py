"""The schedule: system tasks that run again and again, each tick once, however many schedulers there are.

A row for each line says when it is due next, by the database's clock. A scheduler locks the row, enqueues the task and
moves the row on, in one transaction. After a downtime a line runs once, not once for each tick that was missed.
"""

import asyncio
import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from croniter import croniter
from sqlalchemy import UniqueConstraint, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped

from app.core.context import Context
from app.core.runner import describe
from app.core.tasks import Task, enqueue
from app.core.unit_of_work import UnitOfWork
from app.db.base import Base
from app.db.mixin import TenantMixin
from app.db.tenancy import SYSTEM_TENANT_ID
from app.exceptions import AppError
from app.extensions.logs import get_logger

LOOK = 5.0
"""Seconds between two looks at the rows."""

SHORTEST = dt.timedelta(seconds=1)
KEY = "schedule"
"""The unique key of what a schedule enqueues: a run that is not over is not joined by a second one."""

log = get_logger(__name__)


class ScheduleEntry(TenantMixin, Base):
    """When a line of the schedule is due next; rows of the system tenant."""

    __tablename__ = "schedule_entries"
    __bookkeeping__ = True
    name: Mapped[str]
    due_at: Mapped[dt.datetime]
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)


class Rule(Protocol):
    """Says when something is due."""

    def after(self, moment: dt.datetime) -> dt.datetime:
        """Return the first moment after this one."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Due so long after the last time."""

    length: dt.timedelta

    def __post_init__(self) -> None:
        """Raise ValueError for one that is too short."""
        if self.length < SHORTEST:
            raise ValueError(f"every {self.length}: say {SHORTEST.seconds} s at least")

    def after(self, moment: dt.datetime) -> dt.datetime:
        """Return the moment and the length of the interval."""
        return moment + self.length

    def __str__(self) -> str:
        return f"every {self.length}"


@dataclass(frozen=True, slots=True)
class Cron:
    """Due at the minutes of a crontab's five fields, in UTC."""

    fields: str

    def __post_init__(self) -> None:
        """Raise ValueError for fields that mean nothing."""
        if len(self.fields.split()) != 5 or not croniter.is_valid(self.fields):  # noqa: PLR2004 - crontab(5)
            raise ValueError(f"cron({self.fields!r}): say minute, hour, day, month and weekday, as in '0 3 * * *'")

    def after(self, moment: dt.datetime) -> dt.datetime:
        """Return the first of its minutes after a moment."""
        found: dt.datetime = croniter(self.fields, moment.astimezone(dt.UTC)).get_next(dt.datetime)
        return found

    def __str__(self) -> str:
        return f"cron {self.fields}"


@dataclass(frozen=True, slots=True)
class Line:
    """A task and when it is due."""

    task: Task[[]]
    rule: Rule


def every(length: dt.timedelta, task: Task[[]]) -> Line:
    """Run a system task again and again, with so much time between; for the first time soon."""
    return Line(task, Interval(length))


def cron(fields: str, task: Task[[]]) -> Line:
    """Run a system task at moments of the calendar, in UTC, as a crontab names them."""
    return Line(task, Cron(fields))


def check_schedule(lines: Sequence[Line], tasks: Sequence[Task[...]]) -> None:
    """Raise TypeError for a line whose task is unknown, not of the system, or stands there twice."""
    names = [line.task.name for line in lines]
    for line in lines:
        if line.task not in tasks or not line.task.system:
            raise TypeError(f"{line.task.name} is scheduled: it must stand in TASKS and be `system=True`")
        if names.count(line.task.name) > 1:
            raise TypeError(f"{line.task.name} is scheduled twice: the schedule would not know which is due")


class Scheduler:
    """Enqueues what is due until it is cancelled; any number of them may run."""

    def __init__(self, work: UnitOfWork, lines: Sequence[Line]) -> None:
        self.work, self.lines = work, lines

    async def run(self) -> None:
        """Look again and again; a database that is away is asked again."""
        while True:
            try:
                await self.tick()
            except (AppError, SQLAlchemyError, OSError) as error:
                log.warning("schedule_failed", error=describe(error))
            await asyncio.sleep(LOOK)

    async def tick(self) -> list[uuid.UUID]:
        """Enqueue each line that is due; return the tasks. A line that another scheduler looks at is left to it."""
        found = [await self.advance(line) for line in self.lines]
        return [task_id for task_id in found if task_id is not None]

    async def advance(self, line: Line) -> uuid.UUID | None:
        """Enqueue one line if it is due, and move its row on; in a transaction of its own."""
        async with self.work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
            row, now = await held(ctx, line)
            if row is None:
                return None
            following = line.rule.after(now)
            if row.due_at > now:
                # The clock was set back, or the line is due more often now: it must not wait for what was meant then.
                row.due_at = min(row.due_at, following)
                return None
            row.due_at = following
            return (await enqueue(ctx, line.task.but(unique=KEY))).id


async def held(ctx: Context, line: Line) -> tuple[ScheduleEntry | None, dt.datetime]:
    """Return a line's row, locked, and the database's time; no row when another holds it. A new line gets its row."""
    query = select(ScheduleEntry, func.clock_timestamp()).where(ScheduleEntry.name == line.task.name)
    locked = query.with_for_update(skip_locked=True, of=ScheduleEntry)
    found = (await ctx.session.execute(locked)).first()
    if found is not None:
        return found[0], found[1]
    (now,) = (await ctx.session.execute(select(func.now()).execution_options(unscoped="reads no row"))).one()
    first = now if isinstance(line.rule, Interval) else line.rule.after(now)
    values = {"tenant_id": SYSTEM_TENANT_ID, "id": uuid.uuid5(SYSTEM_TENANT_ID, line.task.name)}
    new = insert(ScheduleEntry).values().on_conflict_do_nothing()
    await ctx.session.execute(new, [{**values, "name": line.task.name, "due_at": first}])
    return None, now
