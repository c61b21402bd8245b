"""The home of a table's queries."""

import re
import uuid
from typing import Any, ClassVar, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, inspect, select
from sqlalchemy.orm import InstrumentedAttribute

from app.db.paging import paginate
from app.db.session import Database
from app.exceptions import NotFoundError
from app.utils.schemas import BaseSchema, Page, PageQuery

Row = TypeVar("Row", bound=Any)
Schema = TypeVar("Schema", bound=BaseSchema)
Snapshot = dict[str, Any]


class Repository(Generic[Row]):
    """Reads and writes rows of one class. Nothing here names the tenant: the session narrows every statement."""

    model: ClassVar[type[Any]]
    missing: ClassVar[type[NotFoundError]] = NotFoundError

    def __init__(self, session: Database) -> None:
        self.session = session

    def select(self) -> Select[Row]:
        """Return the statement that reads rows, for subclasses to narrow."""
        return select(self.model)

    async def find(self, row_id: uuid.UUID, *, with_deleted: bool = False, locked: bool = False) -> Row | None:
        """Return one row, or None; soft-deleted ones, and a lock until the commit, on request."""
        statement = self.select().where(self.model.id == row_id).execution_options(with_deleted=with_deleted)
        found: Row | None = await self.session.scalar(statement.with_for_update() if locked else statement)
        return found

    async def get(self, row_id: uuid.UUID, *, with_deleted: bool = False, locked: bool = False) -> Row:
        """Return one row; raise `missing` when there is none in this tenant.

        What has no version is `locked` before it is deleted or ended: of two at once the second finds it gone.
        """
        found = await self.find(row_id, with_deleted=with_deleted, locked=locked)
        if found is None:
            raise self.missing
        return found

    async def add(self, row: Row) -> Row:
        """Insert a row; raises at once what its constraints refuse."""
        self.session.add(row)
        await self.session.flush()
        return row

    async def page(self, query: PageQuery, statement: Select[Row], sort: str, schema: type[Schema]) -> Page[Schema]:
        """Return one page of rows, as `schema` shows them."""
        rows, cursor = await paginate(self.session, statement, self.model, query, sort)
        return Page(items=[schema.model_validate(row) for row in rows], next_cursor=cursor)


def changes(row: Any) -> tuple[Snapshot, Snapshot]:
    """Return the columns of a row that were set since it was loaded, as they were and as they are; before the flush.

    For a new row the first is empty. Columns with `info={"secret": True}` show as "[redacted]".
    """
    before, after = {}, {}
    for attribute in inspect(row).mapper.column_attrs:
        history = inspect(row).attrs[attribute.key].history
        if not history.has_changes():
            continue
        secret = any(column.info.get("secret") for column in attribute.columns)
        if history.deleted:
            before[attribute.key] = "[redacted]" if secret else history.deleted[0]
        after[attribute.key] = "[redacted]" if secret else history.added[0] if history.added else None
    return before, after


def contains(column: InstrumentedAttribute[str], part: str) -> ColumnElement[bool]:
    """Return the condition that a text holds `part`, in either case; every character of it means itself."""
    escaped = re.sub(r"([\\%_])", r"\\\1", part)
    return column.ilike(f"%{escaped}%", escape="\\")
