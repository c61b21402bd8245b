"""News of projects: that there is a new one. To change, delete or restore one is none."""

from app.core.context import Context
from app.core.tasks import enqueue
from app.modules.notifications.services import NotificationService
from app.modules.notifications.tasks import send_news
from app.modules.projects.events import ProjectCreated


async def notify_of_created_project(ctx: Context, event: ProjectCreated) -> None:
    """Tell every member of the tenant as they want it, the creator included: in the app, by a mail, or by both."""
    for user_id in await NotificationService(ctx).notify_members(event, event.name):
        await enqueue(ctx, send_news, user_id=user_id, kind=event.action, title=event.name)
