"""The rules of notices."""

import uuid
from collections.abc import Collection

from sqlalchemy import insert

from app.core.context import Context
from app.core.events import Event
from app.core.mails import post
from app.modules.notifications.exceptions import UnverifiedAddressError
from app.modules.notifications.mails import NEWS, NewsLetter
from app.modules.notifications.models import Notification
from app.modules.notifications.repository import NotificationRepository, PreferenceRepository
from app.modules.notifications.schemas import (
    NotificationQuery,
    NotificationResponse,
    PreferencesResponse,
    PreferencesUpdate,
)
from app.tenants.services import CurrentTenantService, MemberService
from app.utils.helpers import utcnow, uuid7
from app.utils.schemas import Page

MODULE = "notifications"


class NotificationService:
    """Tell the members of the context's tenant, and show each their own notices."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.notifications = NotificationRepository(ctx)
        self.preferences = PreferenceRepository(ctx)
        self.members = MemberService(ctx)

    async def notify_members(self, event: Event, title: str) -> Collection[uuid.UUID]:
        """Add a notice for every member who wants notices, of the moment it happened; return who wants a mail of it."""
        notice = {
            "tenant_id": self.ctx.tenant_id,
            "kind": event.action,
            "object_id": event.object_id,
            "title": title,
            "created_at": event.occurred_at,
        }
        members, choices = set(await self.members.user_ids()), await self.preferences.all()
        told = members - {one.user_id for one in choices if not one.in_app}
        if told:
            rows = [{**notice, "id": uuid7(), "user_id": user_id} for user_id in told]
            await self.ctx.session.execute(insert(Notification), rows)
        return members & {one.user_id for one in choices if one.email}

    async def list(self, query: NotificationQuery) -> Page[NotificationResponse]:
        """Return the caller's notices, newest first."""
        return await self.notifications.list(query)

    async def read(self, notification_id: uuid.UUID) -> Notification:
        """Mark one as read and return it; idempotent. Raises `NotificationNotFoundError`."""
        notice = await self.notifications.get(notification_id)
        if notice.read_at is None:
            notice.read_at = utcnow()
            self.ctx.quiet("that somebody read a notice is nobody else's business")
        return notice

    async def read_all(self) -> int:
        """Mark all of the caller's notices as read, and return how many were not; idempotent."""
        self.ctx.quiet("that somebody read a notice is nobody else's business")
        return await self.notifications.read_all()


class PreferenceService:
    """How the members of the context's tenant want to be told."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.preferences = PreferenceRepository(ctx)
        self.members = MemberService(ctx)

    async def show(self) -> PreferencesResponse:
        """Return what the caller chose."""
        chosen = await self.preferences.of(self.ctx.actor_id)
        return PreferencesResponse.model_validate(chosen) if chosen else PreferencesResponse()

    async def change(self, data: PreferencesUpdate) -> PreferencesResponse:
        """Change what `data` names; raises `UnverifiedAddressError` for mails to an address that nobody proved.

        A service account has no preferences: `UnauthenticatedError`.
        """
        user, changes = self.ctx.current_user, data.model_dump(exclude_unset=True)
        if data.email and await self.members.address(user.id) is None:
            raise UnverifiedAddressError
        if changes:
            self.ctx.quiet("how somebody wants to be told is nobody else's business")
            await self.preferences.change(user.id, changes)
        return await self.show()


class NewsMailService:
    """Mail news to one member; for a unit of work that carries out an entry of the outbox."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx

    async def send(self, user_id: uuid.UUID, kind: str, title: str) -> None:
        """Send the mail, unless its reader is gone meanwhile, wants it no more, or the tenant has no notices.

        All is read before, so that no connection waits for the mailer. Raises OSError when nobody takes the mail.
        """
        async with self.ctx.reader() as reader:
            email = await MemberService(reader).address(user_id)
            chosen = await PreferenceRepository(reader).of(user_id)
            tenant = await CurrentTenantService(reader).get()
        closed = tenant.status != "active" or MODULE in tenant.disabled_modules
        if email is None or chosen is None or not chosen.email or closed:
            return
        await post(self.ctx, email, NewsLetter(NEWS[kind], title, tenant.name))
