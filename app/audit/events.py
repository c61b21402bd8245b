"""What can have happened to the audit itself."""

from app.core.events import ApplicationEvent


class AuditExported(ApplicationEvent):
    """Somebody took the audit away as a file; `after` names the conditions they set, and from when to when."""

    action = "audit.exported"
