"""The rules of notices."""

import uuid

from sqlalchemy import Select, insert, select

from app.core.context import Context
from app.core.events import Event
from app.db.repository import Repository
from app.modules.notifications.exceptions import NotificationNotFoundError
from app.modules.notifications.models import Notification
from app.modules.notifications.schemas import NotificationResponse
from app.tenants.services import MemberService
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page, PageQuery


class NotificationRepository(Repository[Notification]):
    """Notices to one member."""

    model = Notification
    missing = NotificationNotFoundError

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx.session)
        self.user_id = ctx.actor_id

    def select(self) -> Select[Notification]:
        """Return the statement that reads the member's own notices."""
        return select(Notification).where(Notification.user_id == self.user_id)


class NotificationService:
    """Tell the members of the context's tenant, and show each their own notices."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.notifications = NotificationRepository(ctx)
        self.members = MemberService(ctx)

    async def notify_members(self, event: Event, title: str) -> None:
        """Add a notice for every member, of the moment in which it happened."""
        notice = {
            "tenant_id": self.ctx.tenant_id,
            "kind": event.action,
            "object_id": event.object_id,
            "title": title,
            "created_at": event.occurred_at,
        }
        rows = [{**notice, "id": uuid7(), "user_id": user_id} for user_id in await self.members.user_ids()]
        if rows:
            await self.ctx.session.execute(insert(Notification), rows)

    async def list(self, query: PageQuery) -> Page[NotificationResponse]:
        """Return the caller's notices, newest first."""
        statement = self.notifications.select()
        return await self.notifications.page(query, statement, "-created_at", NotificationResponse)

    async def read(self, notification_id: uuid.UUID) -> Notification:
        """Mark one as read and return it; idempotent. Raises `NotificationNotFoundError`."""
        notice = await self.notifications.get(notification_id)
        if notice.read_at is None:
            notice.read_at = utcnow()
            self.ctx.quiet("that somebody read a notice is nobody else's business")
        return notice
