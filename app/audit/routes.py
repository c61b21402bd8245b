"""HTTP of the audit."""

from typing import Annotated

from fastapi import Query
from fastapi.responses import StreamingResponse

from app.audit.permissions import AuditPermission
from app.audit.schemas import AuditEntryResponse, AuditFilter, AuditQuery
from app.audit.services import AuditService
from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.utils.schemas import Page

NDJSON = "application/x-ndjson"
ATTACHED = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
LINES = {
    "description": "One entry a line, each as the list shows it",
    "content": {NDJSON: {"schema": {"type": "string"}}},
}
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

    @router.get("/export", response_class=StreamingResponse, responses={200: LINES})
    @access_control(AuditPermission.read)
    async def export(self, query: Annotated[AuditFilter, Query()]) -> StreamingResponse:
        """Download entries as NDJSON, newest first; the download itself is audited, and so its first line.

        It goes on for as long as the client reads; should it break off, the last line has no end.
        """
        return StreamingResponse(await self.audit.export(query), media_type=NDJSON, headers=ATTACHED)
