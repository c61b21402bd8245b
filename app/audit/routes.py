"""HTTP of the audit."""

from typing import Annotated

from fastapi import Query

from app.audit.permissions import AuditPermission
from app.audit.schemas import AuditEntryResponse, AuditQuery
from app.audit.services import AuditService
from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.utils.schemas import Page

router = Router(prefix="/audit", tags=["audit"])


@cbv(router)
class AuditRoutes:
    """Who did what in the selected tenant."""

    audit: AuditService

    @router.get("")
    @access_control(AuditPermission.read)
    async def list(self, query: Annotated[AuditQuery, Query()]) -> Page[AuditEntryResponse]:
        """List entries, newest first."""
        return await self.audit.list(query)
