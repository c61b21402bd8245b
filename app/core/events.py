"""Events: what has happened, in the words of the business."""

import datetime as dt
import uuid
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.utils.helpers import utcnow, uuid7

Snapshot = dict[str, Any]
"""Some columns of a row, as JSON values."""


class UnreadableEventError(Exception):
    """An event of the outbox cannot be read by this code: it is newer, or nobody taught the class the older form."""


class ApplicationEvent(BaseModel):
    """An activity worth remembering that changes nothing: a download, a failed sign-in.

    `action` reads `object.verb`, in the past tense; its first half is the object's type. Immutable.
    """

    model_config = ConfigDict(frozen=True)

    action: ClassVar[str]
    event_id: uuid.UUID = Field(default_factory=uuid7)
    """What this one occurrence is called: its row in the audit has this id too, and handlers can know it again."""
    occurred_at: dt.datetime = Field(default_factory=utcnow)
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
    version: ClassVar[int] = 1
    """Counts up when a field changes its name or meaning; what is under way then was written by an older version."""

    @classmethod
    def upgrade(cls, version: int, data: Snapshot) -> Snapshot:  # noqa: ARG003 - for the class that answers
        """Return what `version` wrote as version + 1 would have; for a class whose `version` grew to answer."""
        raise UnreadableEventError(f"{cls.action} was written by version {version}; {cls.__name__} cannot read it")

    @classmethod
    def restore(cls, version: int, data: Snapshot) -> Self:
        """Return the event that was written, by this version or an older one; raises `UnreadableEventError`."""
        if version > cls.version:
            raise UnreadableEventError(f"{cls.action} was written by version {version}, newer than {cls.version} here")
        for older in range(version, cls.version):
            data = cls.upgrade(older, data)
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            fields = ", ".join(".".join(map(str, fault["loc"])) for fault in error.errors(include_url=False))
            raise UnreadableEventError(f"{cls.action} of version {version} does not fit: {fields}") from None


class JobRefused(Event):
    """Somebody wrote a job into the broker that no relay of ours sent; it was not run."""

    action = "job.refused"


class AccessDenied(ApplicationEvent):
    """Somebody was refused what they asked for; `after` names the operation and what it demands.

    The object is what the path names last, if it names one: an identifier that nobody has looked up.
    """

    action = "access.denied"
    outcome: str = "denied"
