"""What the tenant filter must know about a statement: what it writes, and whether something hides in it."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import Alias, ColumnClause, TableClause, TextClause, TextualSelect
from sqlalchemy.orm import ORMExecuteState
from sqlalchemy.sql import visitors
from sqlalchemy.sql.dml import UpdateBase

from app.db.base import Base
from app.db.mixin import TenantMixin, TenantRootMixin

HARMLESS_TEXT = {"*", "1"}
"""What SQLAlchemy itself writes as text, in `exists()`."""


def is_tenant_row(row: Any) -> bool:
    """Tell whether the row belongs to a tenant, or is one."""
    return isinstance(row, TenantMixin | TenantRootMixin)


@cache
def tenant_tables() -> dict[str, type[Base]]:
    """Return the tables that hold tenants' rows, and their classes; fixed at the first statement."""
    classes: list[type[Base]] = [mapper.class_ for mapper in Base.registry.mappers]
    owned = [cls for cls in classes if issubclass(cls, TenantMixin) or issubclass(cls, TenantRootMixin)]
    return {cls.__tablename__: cls for cls in owned}


def changed_table(state: ORMExecuteState) -> Iterator[str]:
    """Yield what the statement writes, where that is a tenant's table or cannot be told."""
    statement: Any = state.statement
    if isinstance(statement, TextClause) and not statement.text.lstrip().lower().startswith("select"):
        yield "text()"
    if state.is_insert or state.is_update or state.is_delete:
        cls = tenant_tables().get(statement.table.name)
        if cls is not None and not cls.__bookkeeping__:
            yield statement.table.name


def names_only(state: ORMExecuteState) -> bool:
    """Tell whether it is an UPDATE of rows by their keys, one parameter set a row: criteria do not reach it."""
    return state.is_update and isinstance(state.parameters, list)


def moves_rows(state: ORMExecuteState) -> bool:
    """Tell whether an UPDATE, or an INSERT's ON CONFLICT, would set tenant_id."""
    statement: Any = state.statement
    if state.is_insert:
        clause = statement._post_values_clause
        return "tenant_id" in {str(key) for key, _ in getattr(clause, "update_values_to_set", ())}
    if not state.is_update:
        return False
    by_parameters = [] if names_only(state) else list(state.parameters or ())
    return "tenant_id" in {getattr(key, "key", key) for key in [*(statement._values or ()), *by_parameters]}


def first_opaque_part(state: ORMExecuteState) -> str | None:
    """Return what in the statement cannot be narrowed, in words, or None."""
    statement: Any = getattr(state.statement, "element", state.statement)
    if state.is_insert:
        return insert_fault(statement)
    elements = list(visitors.iterate(statement))
    known = {source for element in elements for source in mapped_sources(element)}
    parts = (fault(element, known, statement) for element in elements)
    return next((part for part in parts if part is not None), None)


def insert_fault(statement: Any) -> str | None:
    """Return why the rows of an INSERT cannot be checked, or None."""
    if statement.select is not None:
        return "INSERT ... SELECT"
    if statement._values or statement._multi_values:
        return "INSERT with values(): pass the rows as parameters"
    return None


def mapped_sources(element: Any) -> Iterator[Any]:
    """Yield the table, or the alias of one and the table below, that a mapped class brought into the statement."""
    if "parententity" in element._annotations:
        source = element.table if isinstance(element, ColumnClause) else element
        yield source
        if isinstance(source, Alias):
            yield source.element


def fault(element: Any, known: set[Any], statement: Any) -> str | None:
    """Return why one element of a statement is opaque, or None."""
    if isinstance(element, TextClause | TextualSelect):
        return "text()"
    if isinstance(element, UpdateBase) and element is not statement:
        return "a write inside another statement"
    if isinstance(element, ColumnClause) and element.is_literal and element.name not in HARMLESS_TEXT:
        return "literal_column()"
    if isinstance(element, ColumnClause):
        bare = "parententity" not in element._annotations and is_bare(element.table, set())
    else:
        bare = isinstance(element, Alias | TableClause) and is_bare(element, known)
    return "a table of tenants without its class" if bare else None


def is_bare(source: Any, known: set[Any]) -> bool:
    """Tell whether a table of tenants, or an alias of one, was named past its mapped class."""
    if source in known:
        return False
    while isinstance(source, Alias):
        source = source.element
    return isinstance(source, TableClause) and source.name in tenant_tables()
