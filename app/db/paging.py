"""Keyset pages: a cursor names the last row seen, and is bound to the tenant and the query it came from."""

import base64
import hashlib
import uuid
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import Select, tuple_

from app.db.session import Database
from app.exceptions import BadRequestError
from app.utils.schemas import PageQuery

Row = TypeVar("Row")


class InvalidCursorError(BadRequestError):
    """The cursor is malformed, or comes from another query. Start again without one."""

    code = "invalid_cursor"


async def paginate(
    session: Database, statement: Select[Row], model: Any, query: PageQuery, sort: str
) -> tuple[Sequence[Row], str | None]:
    """Return one page of `statement` and the next page's cursor, None on the last page.

    `sort` is a column's name, with a minus for descending; it must not be nullable. Rows that sort alike follow by
    id. A row that is added or removed meanwhile makes no other row appear twice or be skipped.
    """
    descending, name = sort.startswith("-"), sort.removeprefix("-")
    column, print_ = getattr(model, name), fingerprint(session, model, query, sort)
    if query.cursor is not None:
        value, last = decode(query.cursor, print_, column)
        key, seen = tuple_(column, model.id), tuple_(value, last)
        statement = statement.where(key < seen if descending else key > seen)
    order = (column.desc(), model.id.desc()) if descending else (column, model.id)
    rows = (await session.scalars(statement.order_by(*order).limit(query.limit + 1))).all()
    if len(rows) <= query.limit:
        return rows, None
    last_row: Any = rows[query.limit - 1]
    return rows[: query.limit], encode(print_, getattr(last_row, name), last_row.id)


def fingerprint(session: Database, model: Any, query: PageQuery, sort: str) -> str:
    """Return what a cursor is bound to: tenant (or person), table, order and filters."""
    who = session.sync_session.tenant_id or session.sync_session.actor_id
    filters = query.model_dump(mode="json", exclude={"limit", "cursor", "sort"})
    bound = orjson.dumps([str(who), model.__tablename__, sort, filters], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(bound).hexdigest()[:16]


def encode(print_: str, value: Any, row_id: uuid.UUID) -> str:
    """Return the cursor after a row."""
    return base64.urlsafe_b64encode(orjson.dumps([print_, value, row_id], default=str)).decode().rstrip("=")


def decode(cursor: str, print_: str, column: Any) -> tuple[Any, uuid.UUID]:
    """Return a cursor's position; raise `InvalidCursorError` for any that this query did not hand out."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        found_print, value, last = orjson.loads(raw)
        position = TypeAdapter(column.type.python_type).validate_json(orjson.dumps(value))
        row_id = uuid.UUID(last)
    except (ValueError, TypeError, AttributeError, ValidationError) as error:
        raise InvalidCursorError from error
    if found_print != print_ or (isinstance(position, str) and "\0" in position):
        raise InvalidCursorError
    return position, row_id
