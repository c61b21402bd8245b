"""Events: what has happened, in the words of the business."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from app.core.context import Context

Snapshot = dict[str, Any]
"""Some columns of a row, as JSON values."""


class ApplicationEvent(BaseModel):
    """An activity worth remembering that changes nothing: a download, a failed sign-in.

    `action` reads `object.verb`, in the past tense; its first half is the object's type. Immutable.
    """

    model_config = ConfigDict(frozen=True)

    action: ClassVar[str]
    object_id: uuid.UUID | None = None
    outcome: str = "success"
    before: Snapshot | None = None
    after: Snapshot | None = None

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        """Raise TypeError for a class without a proper action."""
        kind, _, verb = getattr(cls, "action", "").partition(".")
        if cls.__name__ != "Event" and not (kind and verb):
            raise TypeError(f"{cls.__name__}: say action = 'object.verb'")

    @property
    def object_type(self) -> str:
        """Return what kind of thing it happened to."""
        return self.action.partition(".")[0]


class Event(ApplicationEvent):
    """A change to one object of a tenant; `before` and `after` show the columns that changed."""

    object_id: uuid.UUID


Handler = Callable[["Context", Any], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reaction:
    """A handler, and when it runs."""

    handler: Handler


def in_transaction(handler: Handler) -> Reaction:
    """Run the handler at once, in the transaction of the change: it fails, the change fails."""
    return Reaction(handler)


class Hub(Protocol):
    """Who hears of events; `app.hub` answers."""

    async def handle(self, ctx: "Context", event: Event) -> None:
        """Run what reacts to a change, in the transaction of the change, and audit it there."""

    async def track(self, ctx: "Context", event: ApplicationEvent) -> None:
        """Audit an activity that changed nothing."""
