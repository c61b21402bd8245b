"""The queries of the audit."""

from app.audit.models import AuditEntry
from app.audit.schemas import AuditEntryResponse, AuditQuery
from app.db.repository import Repository
from app.utils.schemas import Page

EQUAL = ("action", "object_type", "object_id", "actor_id", "request_id", "outcome")
"""What a query names is what the column holds."""


class AuditRepository(Repository[AuditEntry]):
    """Entries of the session's tenant."""

    model = AuditEntry

    async def list(self, query: AuditQuery) -> Page[AuditEntryResponse]:
        """Return one page of the entries that the query asks for, newest first."""
        statement = self.select()
        for name in EQUAL:
            if (value := getattr(query, name)) is not None:
                statement = statement.where(getattr(AuditEntry, name) == value)
        if query.since is not None:
            statement = statement.where(AuditEntry.created_at >= query.since)
        if query.until is not None:
            statement = statement.where(AuditEntry.created_at < query.until)
        return await self.page(query, statement, "-created_at", AuditEntryResponse)
