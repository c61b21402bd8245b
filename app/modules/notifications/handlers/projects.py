"""News of projects."""

from app.core.context import Context
from app.modules.notifications.services import NotificationService
from app.modules.projects.events import ProjectCreated


async def notify_of_created_project(ctx: Context, event: ProjectCreated) -> None:
    """Tell every member of the tenant, the creator included."""
    await NotificationService(ctx).notify_members(event, event.name)
