"""What the mechanisms ask of a hub, and how its table says when a handler runs."""

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, get_type_hints

from app.core.context import Context
from app.core.events import ApplicationEvent, Event
from app.core.outbox import Kind, OutboxEntry, Status

Handler = Callable[[Context, Any], Awaitable[None]]
RETRIES = 8
TIMEOUT = 30.0


@dataclass(frozen=True, slots=True)
class Reaction:
    """A handler, and when it runs; `name` is what the outbox calls it, and must outlive a deployment."""

    handler: Handler
    name: str
    delivered: bool = False
    retries: int = 0
    timeout: float = TIMEOUT
    queue: str = "default"


def in_transaction(handler: Handler) -> Reaction:
    """Run the handler at once, in the transaction of the change: it fails, the change fails."""
    return Reaction(handler, name_of(handler))


def delivered(
    handler: Handler,
    *,
    retries: int = RETRIES,
    timeout: float = TIMEOUT,
    queue: str = "default",
    name: str | None = None,
) -> Reaction:
    """Run the handler after the commit, in a unit of work of its own: exactly one effect, whatever is killed.

    A failure is tried again `retries` times, alone. A run is cut off after `timeout` seconds. Say `name` when the
    function moves: what is under way then still knows it by the old one.
    """
    return Reaction(handler, name or name_of(handler), True, retries, timeout, queue)


def name_of(function: Callable[..., Any]) -> str:
    """Return how a function is called in the outbox: its place in the modules, without the folders."""
    place = function.__module__.removeprefix("app.").removeprefix("modules.").replace(".handlers", "")
    return f"{place}.{function.__name__}"


def check_signature(event: type[Event], reaction: Reaction) -> None:
    """Raise TypeError unless the handler is `async def handler(ctx: Context, event: <the event>) -> None`."""
    handler = reaction.handler
    wanted = f"async def {handler.__name__}(ctx: Context, event: {event.__name__}) -> None"
    hints = get_type_hints(handler)
    kinds = [hints.get(name) for name in inspect.signature(handler).parameters]
    fits = len(kinds) == 2 and kinds[0] is Context and isinstance(kinds[1], type) and issubclass(event, kinds[1])  # noqa: PLR2004
    if not (fits and inspect.iscoroutinefunction(handler) and hints.get("return") is type(None)):
        raise TypeError(f"{handler.__module__}.{handler.__name__} cannot handle {event.__name__}: write {wanted}")


def entries(event: Event, reactions: Iterable[Reaction]) -> list[OutboxEntry]:
    """Return what the outbox holds of an event: an entry for each reaction that is delivered."""
    payload = event.model_dump(mode="json")
    return [
        OutboxEntry(
            kind=Kind.delivery,
            name=reaction.name,
            queue=reaction.queue,
            status=Status.queued,
            event_id=event.event_id,
            action=event.action,
            version=event.version,
            payload=payload,
            max_attempts=reaction.retries + 1,
        )
        for reaction in reactions
        if reaction.delivered
    ]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A line of the table as a worker carries it out: one event for one handler."""

    event: type[Event]
    reaction: Reaction

    @property
    def name(self) -> str:
        """Return the handler's name in the outbox."""
        return self.reaction.name

    @property
    def timeout(self) -> float:
        """Return how many seconds a run may take."""
        return self.reaction.timeout

    async def run(self, ctx: Context, entry: OutboxEntry) -> None:
        """Hand the event to the handler; raises `UnreadableEventError`, and whatever the handler raises."""
        ctx.quiet("the event that is delivered was announced when it happened")
        await self.reaction.handler(ctx, self.event.restore(entry.version, entry.payload))


class Hub(Protocol):
    """Who hears of events; `app.hub` answers."""

    async def handle(self, ctx: Context, event: Event) -> None:
        """Run what reacts to a change, in the transaction of the change, and audit it there."""

    async def track(self, ctx: Context, event: ApplicationEvent) -> None:
        """Audit an activity that changed nothing."""
