"""The last look at a statement: the compiler refuses what the tenant's criteria did not reach.

SQLAlchemy adds loader criteria where it finds a class, and does not find every one: a class that is only named inside
a function, the second table of an UPDATE, the far side of a FULL JOIN, a bare table in a subquery. Here the statement
is finished, with each table in its FROM. The look is taken once for each shape of statement, because SQLAlchemy keeps
what it compiled, and only at statements that carry `TenantCriteria`.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Join, Table, TableClause
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg
from sqlalchemy.orm.util import LoaderCriteriaOption
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import BooleanClauseList, Grouping
from sqlalchemy.sql.selectable import AliasedReturnsRows, FromGrouping

from app.db.base import Base
from app.db.exceptions import TenantViolationError
from app.db.mixin import TenantMixin, TenantRootMixin

HARMLESS_LITERALS = frozenset({"*", "1"})
"""What SQLAlchemy itself writes into `count()` and `exists()`."""

SYMBOLS = re.compile(r"(?!.*(?:--|/\*))[-+*/<>=~!@#%^&|?:.]+")
"""What an operator of PostgreSQL consists of; `op()` takes any text, and two of these signs begin a comment."""

OPAQUE_FUNCTIONS = re.compile(
    r"set_config|start_outbox_entry|dblink.*|ts_stat|(query|table|cursor|schema|database)_to_xml.*"
)
"""Functions that run SQL given as text, or change the settings of the transaction."""

PlainCompiler: Any = PGCompiler_asyncpg
"""The library's compiler, which has no types."""


class TenantCriteria(LoaderCriteriaOption):
    """The criterion of a session's tenant on one class or mixin; where it stands, the compiler looks."""

    __slots__ = ()
    _traverse_internals = LoaderCriteriaOption._traverse_internals


class TenantCompiler(PlainCompiler):  # type: ignore[misc] # a subclass of what has no types
    """PostgreSQL's compiler, which raises `TenantViolationError` for what it cannot see into."""

    @cached_property
    def guarded(self) -> bool:
        """Tell whether the statement comes from a session with the filter on."""
        options = getattr(self.statement, "_with_options", ())
        return any(isinstance(option, TenantCriteria) for option in options)

    def refuse(self, part: str) -> None:
        """Raise for a part of a guarded statement."""
        if self.guarded:
            raise TenantViolationError(f"{part}: use the mapped classes, or say execution_options(unscoped='why')")

    def check_sources(self, sources: Iterable[Any], where: Sequence[Any]) -> None:
        """Refuse a table of tenants that no criterion narrows, and a table that no class maps."""
        if not self.guarded:
            return
        given = tuple(part for clause in where for part in conjuncts(clause))
        owned = owned_tables()
        for source, criteria in (found for whole in sources for found in reached(whole, given)):
            table = base_table(source)
            if table in owned and not any(narrows(part, source) for part in criteria):
                self.refuse(f"nothing narrows {table} here; name its class in select_from(), join() or exists()")
            elif table is not None and table not in owned and not is_ours(table):
                self.refuse(f"no class maps {table}")

    def _compose_select_body(
        self, text: str, select: Any, compile_state: Any, inner_columns: Any, froms: Any, *rest: Any
    ) -> Any:
        self.check_sources(froms, select._where_criteria)
        return super()._compose_select_body(text, select, compile_state, inner_columns, froms, *rest)

    def update_tables_clause(self, update_stmt: Any, from_table: Any, extra_froms: Any, **kw: Any) -> Any:
        """Write the target of an UPDATE, once all its tables are checked."""
        self.check_sources([from_table, *extra_froms], update_stmt._where_criteria)
        return super().update_tables_clause(update_stmt, from_table, extra_froms, **kw)

    def delete_table_clause(self, delete_stmt: Any, from_table: Any, extra_froms: Any, **kw: Any) -> Any:
        """Write the target of a DELETE, once all its tables are checked."""
        self.check_sources([from_table, *extra_froms], delete_stmt._where_criteria)
        return super().delete_table_clause(delete_stmt, from_table, extra_froms, **kw)

    def visit_insert(self, insert_stmt: Any, *args: Any, **kw: Any) -> Any:
        """Write an INSERT that stands alone."""
        self.refuse_nested_write()
        return super().visit_insert(insert_stmt, *args, **kw)

    def visit_update(self, update_stmt: Any, *args: Any, **kw: Any) -> Any:
        """Write an UPDATE that stands alone."""
        self.refuse_nested_write()
        return super().visit_update(update_stmt, *args, **kw)

    def visit_delete(self, delete_stmt: Any, *args: Any, **kw: Any) -> Any:
        """Write a DELETE that stands alone."""
        self.refuse_nested_write()
        return super().visit_delete(delete_stmt, *args, **kw)

    def refuse_nested_write(self) -> None:
        """Raise for a write inside another statement."""
        if self.stack:
            self.refuse("a write inside another statement")

    def visit_textclause(self, textclause: Any, *args: Any, **kw: Any) -> Any:
        """Write text where no guard stands; prefixes and suffixes of a statement are text, too."""
        self.refuse("text()")
        return super().visit_textclause(textclause, *args, **kw)

    def visit_textual_select(self, taf: Any, *args: Any, **kw: Any) -> Any:
        """Write a SELECT that was given as text, where no guard stands."""
        self.refuse("text()")
        return super().visit_textual_select(taf, *args, **kw)

    def get_statement_hint_text(self, hint_texts: Any) -> Any:
        """Write hints, which are text, where no guard stands."""
        self.refuse("with_statement_hint()")
        return super().get_statement_hint_text(hint_texts)

    def visit_column(self, column: Any, *args: Any, **kw: Any) -> Any:
        """Write a column that is no text in disguise."""
        if (column.is_literal and column.name not in HARMLESS_LITERALS) or is_raw(column.name):
            self.refuse("literal_column()")
        return super().visit_column(column, *args, **kw)

    def visit_function(self, func: Any, *args: Any, **kw: Any) -> Any:
        """Write a function that takes no SQL."""
        if OPAQUE_FUNCTIONS.fullmatch(func.name.lower()):
            self.refuse(f"the function {func.name}")
        return super().visit_function(func, *args, **kw)

    def visit_extract(self, extract: Any, **kwargs: Any) -> Any:
        """Write an EXTRACT whose field is a word."""
        if not extract.field.isidentifier():
            self.refuse("extract() of more than a field")
        return super().visit_extract(extract, **kwargs)

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> Any:
        """Write an operator between two values."""
        self.check_operator(operator)
        return super().visit_custom_op_binary(element, operator, **kw)

    def visit_custom_op_unary_operator(self, element: Any, operator: Any, **kw: Any) -> Any:
        """Write an operator before a value."""
        self.check_operator(operator)
        return super().visit_custom_op_unary_operator(element, operator, **kw)

    def visit_custom_op_unary_modifier(self, element: Any, operator: Any, **kw: Any) -> Any:
        """Write an operator behind a value."""
        self.check_operator(operator)
        return super().visit_custom_op_unary_modifier(element, operator, **kw)

    def check_operator(self, operator: Any) -> None:
        """Raise for an `op()` that is more than an operator."""
        if not SYMBOLS.fullmatch(operator.opstring):
            self.refuse("op() with more than an operator")


def is_raw(name: Any) -> bool:
    """Tell whether a name would go into the statement as it stands: `quoted_name(..., quote=False)`."""
    return getattr(name, "quote", None) is False


def is_ours(table: TableClause) -> bool:
    """Tell whether a table is one of the models'."""
    return isinstance(table, Table) and table.metadata is Base.metadata


def owned_tables() -> frozenset[TableClause | None]:
    """Return the tables of every class that belongs to a tenant, or is one."""
    found, pending = set(), [TenantMixin, TenantRootMixin]
    while pending:
        cls: type[Any] = pending.pop()
        found |= {cls.__table__} if hasattr(cls, "__table__") else set()
        pending += cls.__subclasses__()
    return frozenset(found)


def base_table(source: Any) -> TableClause | None:
    """Return the table below a source and its aliases; None for a subquery, values or a function."""
    while isinstance(source, AliasedReturnsRows):
        source = source.element
    return source if isinstance(source, TableClause) else None


def reached(source: Any, criteria: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Yield each source below joins, with the conditions that every row it contributes must meet.

    The ON of an outer join says nothing of its left side's rows, that of a full join nothing of either's.
    """
    if isinstance(source, FromGrouping):
        yield from reached(source.element, criteria)
    elif isinstance(source, Join):
        on = () if source.full else tuple(conjuncts(source.onclause))
        yield from reached(source.left, criteria if source.isouter else criteria + on)
        yield from reached(source.right, criteria + on)
    else:
        yield source, criteria


def conjuncts(clause: Any) -> Iterator[Any]:
    """Yield the parts of a condition that must all hold."""
    if isinstance(clause, Grouping):
        yield from conjuncts(clause.element)
    elif isinstance(clause, BooleanClauseList) and clause.operator is operators.and_:
        for part in clause.clauses:
            yield from conjuncts(part)
    elif clause is not None:
        yield clause


def narrows(condition: Any, source: Any) -> bool:
    """Tell whether a condition is the tenant's criterion on this very source."""
    criterion = condition._annotations.get("for_loader_criteria")
    return isinstance(criterion, TenantCriteria) and any(source == named for named in condition._from_objects)
