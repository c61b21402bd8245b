"""HTTP of notices."""

import uuid
from typing import Annotated

from fastapi import Query

from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.modules.notifications.permissions import NotificationPermission
from app.modules.notifications.schemas import (
    NotificationQuery,
    NotificationResponse,
    PreferencesResponse,
    PreferencesUpdate,
)
from app.modules.notifications.services import NotificationService, PreferenceService
from app.utils.schemas import DefaultResponse, Page

router = Router(prefix="/notifications", tags=["notifications"], module="notifications")


@cbv(router)
class NotificationRoutes:
    """The caller's own notices in the selected tenant."""

    notifications: NotificationService

    @router.get("")
    @access_control(NotificationPermission.read)
    async def list(self, query: Annotated[NotificationQuery, Query()]) -> Page[NotificationResponse]:
        """List one's notices, newest first."""
        return await self.notifications.list(query)

    @router.post("/{notification_id}/read")
    @access_control(NotificationPermission.read)
    async def read(self, notification_id: uuid.UUID) -> NotificationResponse:
        """Mark a notice as read."""
        return NotificationResponse.model_validate(await self.notifications.read(notification_id))

    @router.post("/read")
    @access_control(NotificationPermission.read)
    async def read_all(self) -> DefaultResponse:
        """Mark all of one's notices as read."""
        return DefaultResponse(msg="All notices are read.", details={"read": await self.notifications.read_all()})


@cbv(router)
class PreferenceRoutes:
    """How the caller is told of news in the selected tenant."""

    preferences: PreferenceService

    @router.get("/preferences")
    @access_control(NotificationPermission.read)
    async def show(self) -> PreferencesResponse:
        """Show how one is told: by notices and not by mails, unless one chose otherwise."""
        return await self.preferences.show()

    @router.patch("/preferences")
    @access_control(NotificationPermission.read)
    async def change(self, data: PreferencesUpdate) -> PreferencesResponse:
        """Choose how to be told; mails are for those whose address is verified."""
        return await self.preferences.change(data)
