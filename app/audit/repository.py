"""The queries of the audit."""

from collections.abc import Sequence

from sqlalchemy import Select, tuple_

from app.audit.models import AuditEntry
from app.audit.schemas import AuditEntryResponse, AuditFilter, AuditQuery
from app.db.repository import Repository
from app.utils.schemas import Page

EQUAL = ("action", "object_type", "object_id", "actor_id", "request_id", "outcome")
"""What a query names is what the column holds."""

PART = 500
"""Entries that an export reads at once."""


class AuditRepository(Repository[AuditEntry]):
    """Entries of the session's tenant."""

    model = AuditEntry

    async def list(self, query: AuditQuery) -> Page[AuditEntryResponse]:
        """Return one page of the entries that the query asks for, newest first."""
        return await self.page(query, self._narrowed(query), "-created_at", AuditEntryResponse)

    async def part(self, query: AuditFilter, last: AuditEntry | None) -> Sequence[AuditEntry]:
        """Return the next `PART` entries after the last one seen, newest first."""
        statement = self._narrowed(query)
        if last is not None:
            key = tuple_(AuditEntry.created_at, AuditEntry.id)
            statement = statement.where(key < tuple_(last.created_at, last.id))
        order = AuditEntry.created_at.desc(), AuditEntry.id.desc()
        return (await self.session.scalars(statement.order_by(*order).limit(PART))).all()

    def _narrowed(self, query: AuditFilter) -> Select[AuditEntry]:
        """Return what reads the entries that a query asks for."""
        statement = self.select()
        for name in EQUAL:
            if (value := getattr(query, name)) is not None:
                statement = statement.where(getattr(AuditEntry, name) == value)
        if query.since is not None:
            statement = statement.where(AuditEntry.created_at >= query.since)
        if query.until is not None:
            statement = statement.where(AuditEntry.created_at < query.until)
        return statement
