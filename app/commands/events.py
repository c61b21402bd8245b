"""`app events`."""

import enum
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table

from app.commands.live import Every, Lively, Once, show
from app.core.events import Event
from app.core.outbox import Kind
from app.core.reactions import Reaction
from app.hub import MessageHub

cli = typer.Typer(add_completion=False)

WIDEST = 1000
"""Columns a table may take, so that each event stands whole on its line, for `grep` too."""


class Form(enum.StrEnum):
    """How the table is printed."""

    table = "table"
    mermaid = "mermaid"
    json = "json"


@cli.command()
def run(
    form: Annotated[Form, typer.Option("--format", help="For people, for a diagram, or for programs.")] = Form.table,
    live: Lively = False,
    once: Once = False,
    every: Every = 1.0,
) -> None:
    """Print which event moves what: its handlers, and when each runs; with --live how the deliveries stand."""
    if live or once:
        show(Kind.delivery, every=every, once=once)
    elif form == Form.table:
        Console(width=WIDEST).print(table())
    else:
        typer.echo(graph() if form == Form.mermaid else orjson.dumps(as_json(), option=orjson.OPT_INDENT_2).decode())


def kind(reaction: Reaction) -> str:
    """Return when a handler runs, in a word."""
    return "delivered" if reaction.delivered else "in transaction"


def table() -> Table:
    """Return one row an event and handler."""
    found = Table("event", "action", "version", "handler", "runs", "queue", "retries", title="Events")
    for event, reactions in MessageHub.handlers.items():
        head = (event.__name__, event.action, str(event.version))
        for reaction in reactions:
            more = (reaction.queue, str(reaction.retries)) if reaction.delivered else ("", "")
            found.add_row(*head, reaction.name, kind(reaction), *more)
        if not reactions:
            found.add_row(*head, "-", "", "", "")
    return found


def as_json() -> list[dict[str, object]]:
    """Return the same as JSON values."""
    return [
        {
            "event": event.__name__,
            "action": event.action,
            "version": event.version,
            "handlers": [
                {"name": one.name, "runs": kind(one), "queue": one.queue, "retries": one.retries} for one in reactions
            ],
        }
        for event, reactions in MessageHub.handlers.items()
    ]


def graph() -> str:
    """Return a Mermaid flow chart, without silent events: solid arrows in the transaction, dotted ones after it."""
    pairs = [(event, one) for event, reactions in MessageHub.handlers.items() for one in reactions]
    lines = [f"    {node(event)} {arrow(one)} {one.name.replace('.', '_')}[{one.name}]" for event, one in pairs]
    return "\n".join(["flowchart LR", *lines])


def arrow(reaction: Reaction) -> str:
    """Return what leads to a handler."""
    return "-.->" if reaction.delivered else "-->"


def node(event: type[Event]) -> str:
    """Return an event as a node of the chart."""
    return f"{event.__name__}([{event.action}])"
