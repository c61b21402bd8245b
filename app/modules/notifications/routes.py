"""HTTP of notices."""

import uuid
from typing import Annotated

from fastapi import Query

from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.modules.notifications.permissions import NotificationPermission
from app.modules.notifications.schemas import NotificationResponse
from app.modules.notifications.services import NotificationService
from app.utils.schemas import Page, PageQuery

router = Router(prefix="/notifications", tags=["notifications"], module="notifications")


@cbv(router)
class NotificationRoutes:
    """The caller's own notices in the selected tenant."""

    notifications: NotificationService

    @router.get("")
    @access_control(NotificationPermission.read)
    async def list(self, query: Annotated[PageQuery, Query()]) -> Page[NotificationResponse]:
        """List one's notices, newest first."""
        return await self.notifications.list(query)

    @router.post("/{notification_id}/read")
    @access_control(NotificationPermission.read)
    async def read(self, notification_id: uuid.UUID) -> NotificationResponse:
        """Mark a notice as read."""
        return NotificationResponse.model_validate(await self.notifications.read(notification_id))
