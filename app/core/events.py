"""Events: what has happened, in the words of the business."""

import uuid
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

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


class AccessDenied(ApplicationEvent):
    """Somebody was refused what they asked for; `after` names the operation and what it demands.

    The object is what the path names last, if it names one: an identifier that nobody has looked up.
    """

    action = "access.denied"
    outcome: str = "denied"
