"""`app tasks`."""

import datetime as dt
import uuid
from contextlib import suppress
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from app.commands.live import Every, Lively, Once, show
from app.commands.operating import operate
from app.config import settings
from app.core.operator import Operator
from app.core.outbox import Kind, Status
from app.core.runner import RunFailedError
from app.core.tasks import Task, TaskState, enqueue
from app.db.tenancy import SYSTEM_TENANT_ID
from app.worker import SCHEDULE, TASKS, check, create_runner

cli = typer.Typer(add_completion=False, no_args_is_help=True)

WIDEST = 1000
HELD = dt.timedelta(days=1)
"""How long no worker takes what this process is about to run itself."""


@cli.callback()
def prepare() -> None:
    """See which tasks there are, and run one by hand."""
    check(settings)


@cli.command("list")
def show_list(live: Lively = False, once: Once = False, every: Every = 1.0) -> None:
    """Print every task, when the periodic ones run, and, if the database can be asked, how many stand where.

    With --live, how those in the outbox stand: their attempts, progress and errors.
    """
    if live or once:
        show(Kind.task, every=every, once=once)
        return
    try:
        counts = operate(Operator.counts) if settings.database.url else None
    except typer.Exit:
        counts = None
    rules = {line.task.name: str(line.rule) for line in SCHEDULE}
    found = Table("task", "tenant", "queue", "retries", "seconds", "schedule", *Status, title="Tasks")
    for task in TASKS:
        options, states = task.options, counts.get(task.name, {}) if counts is not None else None
        shown = [str(states.get(status, 0)) if states is not None else "?" for status in Status]
        tenant = "system" if task.system else "any"
        rule = rules.get(task.name, "")
        found.add_row(task.name, tenant, options.queue, str(options.retries), f"{task.timeout:g}", rule, *shown)
    Console(width=WIDEST).print(found)


def read_name(value: str) -> str:
    """Return the name of a task."""
    if value not in {task.name for task in TASKS}:
        raise typer.BadParameter(f"there is no task {value!r}; `app tasks list` prints them")
    return value


def read_argument(value: str) -> str:
    """Return an argument that can be read."""
    name, sign, text = value.partition("=")
    try:
        orjson.loads(text)
    except ValueError:
        sign = ""
    if not (name and sign):
        raise typer.BadParameter(f"{value!r}: write name=value, the value as JSON, say status='\"active\"'")
    return value


def read_arguments(values: list[str] | None) -> list[str]:
    """Return the arguments, each checked."""
    return [read_argument(value) for value in values or []]


@cli.command()
def run(
    name: Annotated[str, typer.Argument(callback=read_name, help="The task's name, as `list` prints it.")],
    tenant: Annotated[uuid.UUID | None, typer.Option(help="The tenant it runs in; none for a system task.")] = None,
    argument: Annotated[
        list[str] | None,
        typer.Option(callback=read_arguments, help="name=value, the value as JSON; as often as needed."),
    ] = None,
    actor: Annotated[uuid.UUID | None, typer.Option(help="The person it runs for.")] = None,
) -> None:
    """Run one task in this process, once, and print how it ended: for debugging. Exits 1 when it failed."""
    (task,) = (task for task in TASKS if task.name == name)
    given = [one.partition("=") for one in argument or []]
    arguments = {key: orjson.loads(text) for key, _, text in given}
    owner = tenant or (SYSTEM_TENANT_ID if task.system else None)
    state = operate(lambda operator: carry_out(operator, task, owner, actor, arguments))
    shown = {"status": state.status, "progress": state.progress, "result": state.result, "error": state.error}
    typer.echo(orjson.dumps(shown, option=orjson.OPT_INDENT_2).decode())
    if state.status != Status.finished:
        raise typer.Exit(1)


async def carry_out(
    operator: Operator,
    task: Task[...],
    tenant_id: uuid.UUID | None,
    actor_id: uuid.UUID | None,
    arguments: dict[str, Any],
) -> TaskState:
    """Enqueue a task for later, run it now, and return how it stands: it fails for good, as nobody retries it."""
    async with operator.work.begin(tenant_id=tenant_id, actor_id=actor_id, request_id="app-tasks-run") as ctx:
        handle = await enqueue(ctx, task.but(retries=0, delay=HELD), **task.unpack(arguments))
    with suppress(RunFailedError):
        await create_runner(operator.work, settings).run(handle.ctx.tenant_id or SYSTEM_TENANT_ID, handle.id)
    return await handle.state()
