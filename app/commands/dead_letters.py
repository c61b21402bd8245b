"""`app dead-letters`."""

import uuid
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from app.commands.operating import operate
from app.config import settings
from app.worker import check

cli = typer.Typer(add_completion=False, no_args_is_help=True)

WIDEST = 1000

Letter = Annotated[uuid.UUID, typer.Argument(help="The id of a dead letter, as `list` prints it.")]


@cli.callback()
def prepare() -> None:
    """See and settle what failed for good, in all tenants. The audit keeps what was done, with no actor."""
    check(settings)


@cli.command("list")
def show_list(
    tenant: Annotated[uuid.UUID | None, typer.Option(help="One tenant's only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the newest first.")] = 100,
) -> None:
    """Print dead letters, without what they were to work on."""
    found = Table("id", "tenant", "kind", "name", "attempts", "created", "died", title="Dead letters")
    for row in operate(lambda operator: operator.list(tenant, limit)):
        moments = [f"{moment:%Y-%m-%d %H:%M:%S}" if moment else "" for moment in (row.created_at, row.finished_at)]
        found.add_row(str(row.id), str(row.tenant_id), row.kind, row.name, str(row.attempts), *moments)
    Console(width=WIDEST).print(found)


@cli.command()
def show(letter: Letter) -> None:
    """Print one as JSON, with its error and what it was to work on; secrets are hidden."""
    found = operate(lambda operator: operator.act(letter, lambda letters: letters.get(letter)))
    typer.echo(orjson.dumps(found.model_dump(mode="json"), option=orjson.OPT_INDENT_2).decode())


@cli.command()
def requeue(letter: Letter) -> None:
    """Have one tried again, with all its attempts."""
    operate(lambda operator: operator.act(letter, lambda letters: letters.requeue(letter)))
    typer.echo(f"{letter} will be tried again.")


@cli.command()
def discard(letter: Letter) -> None:
    """Give one up; tasks that waited for it become dead letters."""
    operate(lambda operator: operator.act(letter, lambda letters: letters.discard(letter)))
    typer.echo(f"{letter} was discarded.")
