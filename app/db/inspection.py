"""What the tenant filter must know about a statement before it is compiled: what it writes, and how."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import ClauseElement, ColumnClause, TextClause
from sqlalchemy.orm import FromStatement, ORMExecuteState
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.selectable import SelectBase

from app.db.base import Base
from app.db.compiler import TenantCriteria
from app.db.mixin import TenantMixin, TenantRootMixin


def is_tenant_row(row: Any) -> bool:
    """Tell whether the row belongs to a tenant, or is one."""
    return isinstance(row, TenantMixin | TenantRootMixin)


def owner_column(cls: type[Any]) -> str | None:
    """Return the attribute of a class that names the tenant, or None for a global class."""
    if issubclass(cls, TenantMixin):
        return "tenant_id"
    return "id" if issubclass(cls, TenantRootMixin) else None


@cache
def tenant_tables() -> dict[str, type[Base]]:
    """Return the tables that hold tenants' rows, and their classes; fixed at the first statement."""
    classes: list[type[Base]] = [mapper.class_ for mapper in Base.registry.mappers]
    return {cls.__tablename__: cls for cls in classes if owner_column(cls)}


def changed_table(state: ORMExecuteState) -> Iterator[str]:
    """Yield what the statement writes, where that is a tenant's table or cannot be told."""
    statement: Any = getattr(state.statement, "element", state.statement)
    if isinstance(statement, TextClause) and not statement.text.lstrip().lower().startswith("select"):
        yield "text()"
    if state.is_insert or state.is_update or state.is_delete:
        cls = tenant_tables().get(statement.table.name)
        if cls is not None and not cls.__bookkeeping__:
            yield statement.table.name


def without_criteria(statement: Any) -> Any:
    """Return a statement without the criteria that a row brings along from the one that loaded it.

    What is read of a stored row is found by its key alone, and what a relation loads is narrowed anew.
    """
    bare = statement._generate()
    bare._with_options = tuple(option for option in statement._with_options if not isinstance(option, TenantCriteria))
    return bare


def names_only(state: ORMExecuteState) -> bool:
    """Tell whether it is an UPDATE of rows by their keys, one parameter set a row: criteria do not reach it."""
    return state.is_update and isinstance(state.parameters, list)


def unchecked_write(state: ORMExecuteState) -> str | None:
    """Return why the rows of a write cannot be checked one by one, in words, or None."""
    statement: Any = state.statement
    if isinstance(statement, FromStatement) and isinstance(statement.element, UpdateBase):
        return "from_statement() of a write"
    if state.is_insert and statement.select is not None:
        return "INSERT ... SELECT"
    if state.is_insert and (statement._values or statement._multi_values):
        return "INSERT with values(): pass the rows as parameters"
    if names_only(state) and state.execution_options.get("dml_strategy", "auto") not in {"auto", "bulk"}:
        return "an UPDATE with rows that are not found by their keys"
    if names_only(state) and any(is_opaque(element) for element in visitors.iterate(statement)):
        return "a SELECT or text() in an UPDATE of rows by their keys"
    return None


def moves_rows(state: ORMExecuteState) -> bool:
    """Tell whether an UPDATE, or an INSERT's ON CONFLICT, would set what names the tenant."""
    statement: Any = state.statement
    if state.is_insert:
        keys = list(getattr(statement._post_values_clause, "update_values_to_set", ()))
    elif state.is_update:
        keys = [*(statement._values or ()), *([] if names_only(state) else state.parameters or ())]
    else:
        return False
    cls = state.bind_mapper.class_ if state.bind_mapper else None
    return cls is not None and owner_column(cls) in {getattr(key, "key", key) for key in keys}


def hides_rows(value: Any) -> bool:
    """Tell whether a value of a row is SQL that could read other rows."""
    return isinstance(value, ClauseElement) and any(is_opaque(element) for element in visitors.iterate(value))


def is_opaque(element: Any) -> bool:
    """Tell whether an element of an expression is a SELECT or text."""
    return isinstance(element, SelectBase | TextClause) or (isinstance(element, ColumnClause) and element.is_literal)
