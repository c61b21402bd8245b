"""What can have happened to a file."""

from app.core.events import ApplicationEvent, Event


class FileStored(Event):
    """A file was taken in, whole."""

    action = "file.stored"


class FileDeleted(Event):
    """A file is gone: somebody deleted it, or its time was over."""

    action = "file.deleted"


class FileDownloaded(ApplicationEvent):
    """Somebody took a file, or a part of it, away."""

    action = "file.downloaded"


class FileLinked(ApplicationEvent):
    """Somebody was given an address that a file can be fetched from without a sign-in, for a while."""

    action = "file.linked"
