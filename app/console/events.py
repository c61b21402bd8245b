"""What can have happened in the console."""

from app.core.events import ApplicationEvent


class ConsoleChanged(ApplicationEvent):
    """A superuser asked the console for a change; `after` says by which method and path.

    It is written before the change is tried. When the change fails, a second one follows, with the outcome `failure`.
    """

    action = "console.changed"
