"""The queries of notices."""

import uuid
from collections.abc import Mapping, Sequence

from sqlalchemy import Select, select, update
from sqlalchemy.dialects.postgresql import insert

from app.core.context import Context
from app.db.repository import Repository
from app.modules.notifications.exceptions import NotificationNotFoundError
from app.modules.notifications.models import Notification, NotificationPreference
from app.modules.notifications.schemas import NotificationQuery, NotificationResponse
from app.utils.helpers import utcnow
from app.utils.schemas import Page


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

    async def list(self, query: NotificationQuery) -> Page[NotificationResponse]:
        """Return one page, newest first."""
        statement = self.select()
        if query.unread:
            statement = statement.where(Notification.read_at.is_(None))
        return await self.page(query, statement, "-created_at", NotificationResponse)

    async def read_all(self) -> int:
        """Mark what is unread as read, and return how many that were."""
        unread = update(Notification).where(Notification.user_id == self.user_id, Notification.read_at.is_(None))
        read = await self.session.scalars(unread.values(read_at=utcnow()).returning(Notification.id))
        return len(read.all())


class PreferenceRepository(Repository[NotificationPreference]):
    """What members chose; who chose nothing has no row."""

    model = NotificationPreference

    def __init__(self, ctx: Context) -> None:
        super().__init__(ctx.session)
        self.tenant_id = ctx.tenant_id

    async def of(self, user_id: uuid.UUID | None) -> NotificationPreference | None:
        """Return what a member chose, or None."""
        chosen = self.select().where(NotificationPreference.user_id == user_id)
        found: NotificationPreference | None = await self.session.scalar(chosen)
        return found

    async def change(self, user_id: uuid.UUID, changes: Mapping[str, bool]) -> None:
        """Write what a member chooses; of two at once each counts."""
        keys = [NotificationPreference.tenant_id, NotificationPreference.user_id]
        written = insert(NotificationPreference).on_conflict_do_update(index_elements=keys, set_=dict(changes))
        await self.session.execute(written, [{"tenant_id": self.tenant_id, "user_id": user_id, **changes}])

    async def all(self) -> Sequence[NotificationPreference]:
        """Return what members chose; who is not among them chose nothing."""
        return (await self.session.scalars(self.select())).all()
