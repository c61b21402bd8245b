"""What can have happened to a project."""

from app.core.events import ApplicationEvent, Event


class ProjectCreated(Event):
    """A project was created."""

    action = "project.created"
    name: str


class ProjectUpdated(Event):
    """A project was changed."""

    action = "project.updated"


class ProjectDeleted(Event):
    """A project was deleted; it can be restored."""

    action = "project.deleted"


class ProjectRestored(Event):
    """A deleted project came back."""

    action = "project.restored"


class ProjectAttached(Event):
    """A file was attached to a project."""

    action = "project.attached"


class ProjectDetached(Event):
    """A file was taken off a project; the file stays."""

    action = "project.detached"


class ProjectsDownloaded(ApplicationEvent):
    """Somebody took a file with projects away; `object_id` is the export's."""

    action = "project_export.downloaded"
