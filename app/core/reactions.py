"""What the mechanisms ask of a hub, and how its table says when a handler runs."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from app.core.context import Context
from app.core.events import ApplicationEvent, Event

Handler = Callable[[Context, Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """A handler, and when it runs."""

    handler: Handler


def in_transaction(handler: Handler) -> Reaction:
    """Run the handler at once, in the transaction of the change: it fails, the change fails."""
    return Reaction(handler)


class Hub(Protocol):
    """Who hears of events; `app.hub` answers."""

    async def handle(self, ctx: Context, event: Event) -> None:
        """Run what reacts to a change, in the transaction of the change, and audit it there."""

    async def track(self, ctx: Context, event: ApplicationEvent) -> None:
        """Audit an activity that changed nothing."""
