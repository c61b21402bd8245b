"""The session and its tenant: every statement is narrowed to it, what cannot be narrowed is refused."""

import uuid
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Executable, event, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Mapper, ORMExecuteState, Session, SessionTransaction, UOWTransaction, with_loader_criteria

from app.db.base import Base
from app.db.compiler import TenantCriteria
from app.db.exceptions import TenantViolationError
from app.db.inspection import (
    changed_table,
    hides_rows,
    is_tenant_row,
    moves_rows,
    names_only,
    owner_column,
    unchecked_write,
    without_criteria,
)
from app.db.mixin import SoftDeleteMixin, TenantMixin, TenantRootMixin
from app.db.tenancy import roles

NO_TENANT = uuid.UUID(int=0)
SET_TENANT = text("select set_config('app.tenant_id', :tenant, true)").execution_options(
    unscoped="enters the tenant itself"
)

SET_ROLE = text("select set_config('role', :role, true)").execution_options(unscoped="becomes another role itself")
"""SET LOCAL ROLE, as a statement that takes a parameter."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts of one transaction, in seconds; 0 switches one off."""

    statement: float = 15.0
    lock: float = 2.0
    idle: float = 30.0


class TenantSession(Session):
    """A session of one tenant, or of none: then tenant tables look empty.

    The tenant is set once, when the session is made or by `enter`, and never changes: after a change the identity
    map would go on answering with the first tenant's rows.
    """

    def __init__(
        self,
        *args: Any,
        tenant_id: uuid.UUID | None = None,
        actor_id: uuid.UUID | None = None,
        limits: Limits = Limits(),
        read_only: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._tenant_id, self._actor_id = tenant_id, actor_id
        self.limits, self.read_only = limits, read_only
        self.changed: set[str] = set()
        """Tables of the tenant that this session wrote to."""

    @property
    def tenant_id(self) -> uuid.UUID | None:
        """The tenant that the unit of work set."""
        return self._tenant_id

    @property
    def actor_id(self) -> uuid.UUID | None:
        """The user on whose behalf the session works."""
        return self._actor_id

    def enter(self, tenant_id: uuid.UUID) -> None:
        """Set the tenant of a session that has none and holds no tenant's rows yet; once."""
        held = [*self.identity_map.values(), *self.new]
        if self._tenant_id is not None or any(is_tenant_row(row) for row in held):
            raise TenantViolationError("the session has a tenant, or rows of one, already: it never changes")
        self._tenant_id = tenant_id

    def opening(self) -> str:
        """Return the statements that go out with BEGIN; identifiers and numbers only, nothing to quote."""
        settings: dict[str, object] = {
            "app.tenant_id": self._tenant_id or "",
            "app.actor_id": self._actor_id or "",
            "statement_timeout": round(self.limits.statement * 1000),
            "lock_timeout": round(self.limits.lock * 1000),
            "idle_in_transaction_session_timeout": round(self.limits.idle * 1000),
        }
        calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
        return f"{'set transaction read only; ' if self.read_only else ''}select {calls}"

    def bulk_save_objects(self, *_: Any, **__: Any) -> None:
        """Refuse: these rows would pass no check."""
        raise TenantViolationError("bulk_save_objects is unchecked: add the rows, or execute(insert(Class), rows)")

    def bulk_insert_mappings(self, *_: Any, **__: Any) -> None:
        """Refuse: these rows would pass no check."""
        raise TenantViolationError("bulk_insert_mappings is unchecked: execute(insert(Class), rows)")

    def bulk_update_mappings(self, *_: Any, **__: Any) -> None:
        """Refuse: these rows would pass no check."""
        raise TenantViolationError("bulk_update_mappings is unchecked: execute(update(Class), rows)")

    def connection(self, *args: Any, unscoped: str = "", **options: Any) -> Connection:
        """Return the connection, past every check of this class, to those who say why."""
        if not unscoped:
            raise TenantViolationError("connection() goes round the tenant: say connection(unscoped='why')")
        return super().connection(*args, **options)


class Database(AsyncSession):
    """The async face of `TenantSession`; what a Context carries."""

    sync_session_class = TenantSession
    sync_session: TenantSession

    async def enter(self, tenant_id: uuid.UUID) -> None:
        """Set the tenant of a session that has none, also in a transaction under way; once."""
        self.sync_session.enter(tenant_id)
        if self.in_transaction():
            await self.execute(SET_TENANT, {"tenant": str(tenant_id)})

    async def look_across_tenants(self) -> None:
        """Let this transaction see all tenants, memberships and people, and nothing else; no way back.

        It becomes the role that may read these tables and write none. Statements then say `unscoped`, else the filter
        goes on narrowing them.
        """
        await self.execute(SET_ROLE, {"role": roles().admin})

    async def connection(self, *args: Any, unscoped: str = "", **options: Any) -> AsyncConnection:
        """Return the connection, past every check, to those who say why."""
        if not unscoped:
            raise TenantViolationError("connection() goes round the tenant: say connection(unscoped='why')")
        return await super().connection(*args, unscoped=unscoped, **options)


@event.listens_for(TenantSession, "after_begin")
def send_settings(session: TenantSession, _: SessionTransaction, connection: Connection) -> None:
    """Hand the transaction's settings to the driver, which sends them together with BEGIN."""
    driver: Any = connection.connection.driver_connection
    driver.opening = session.opening()


@event.listens_for(TenantSession, "do_orm_execute")
def narrow(state: ORMExecuteState) -> None:
    """Narrow SELECT, UPDATE and DELETE, check INSERT; `TenantCompiler` then refuses what was not reached."""
    session = state.session
    if not isinstance(session, TenantSession):
        return
    if state.is_column_load:
        state.statement = without_criteria(state.statement)
        return
    session.changed.update(changed_table(state))
    if session.info.get("filter_off") or state.execution_options.get("unscoped"):
        return
    refuse_unchecked(state)
    if state.is_insert or names_only(state):
        check_rows(state, session.tenant_id)
    if not names_only(state):
        state.statement = scoped(state, session)


def refuse_unchecked(state: ORMExecuteState) -> None:
    """Raise for a statement that is none of the ORM, or writes rows that nobody can check."""
    if not state.is_orm_statement:
        raise TenantViolationError("not a statement over mapped classes: say execution_options(unscoped='why')")
    part = unchecked_write(state)
    if part is not None:
        raise TenantViolationError(f"{part}, or say execution_options(unscoped='why')")
    if moves_rows(state):
        raise TenantViolationError("what names a row's tenant never changes")


def check_rows(state: ORMExecuteState, tenant_id: uuid.UUID | None) -> None:
    """Accept rows given as parameters only when each names the session's tenant."""
    cls = state.bind_mapper.class_ if state.bind_mapper else None
    owner = owner_column(cls) if cls else None
    if cls is None or owner is None:
        return
    rows: list[Any] = state.parameters if isinstance(state.parameters, list) else [state.parameters or {}]
    if any(row.get(owner) != tenant_id for row in rows):
        raise TenantViolationError(f"{cls.__name__}: every row must name the session's tenant in {owner}")


def scoped(state: ORMExecuteState, session: TenantSession) -> Executable:
    """Return the statement narrowed to the session's tenant in every entity, alias, subquery and lazy load."""
    tenant, statement = session.tenant_id, without_criteria(state.statement)
    options = [] if state.execution_options.get("with_deleted") else [LIVE]
    if tenant is None:
        options += criteria_of_nobody(session.actor_id if state.is_select else None)
    else:
        options += criteria_of(tenant)
    narrowed: Executable = statement.options(*options)
    return narrowed


@lru_cache(maxsize=1024)
def criteria_of(tenant: uuid.UUID) -> tuple[TenantCriteria, TenantCriteria]:
    """Return what narrows every statement of a tenant; kept, as to make it costs more than to use it."""
    return (
        TenantCriteria(TenantMixin, lambda cls: cls.tenant_id == tenant, include_aliases=True),
        TenantCriteria(TenantRootMixin, lambda cls: cls.id == tenant, include_aliases=True),
    )


LIVE = with_loader_criteria(SoftDeleteMixin, lambda cls: cls.deleted_at.is_(None), include_aliases=True)


def criteria_of_nobody(actor_id: uuid.UUID | None) -> list[TenantCriteria]:
    """Return what narrows a statement while no tenant is set: to the actor's own rows of each class, or to none."""
    owned, closed = tenant_classes(Base.registry.mappers)
    own = [TenantCriteria(cls, cls.owned_by(actor_id or NO_TENANT), include_aliases=True) for cls in owned]
    return [*own, *closed]


@lru_cache(maxsize=1)
def tenant_classes(mappers: frozenset[Mapper[Any]]) -> tuple[tuple[Any, ...], tuple[TenantCriteria, ...]]:
    """Return the classes whose rows an actor can own, and what closes all others; kept until a class is added."""
    classes: list[Any] = [
        mapper.class_ for mapper in mappers if issubclass(mapper.class_, TenantRootMixin | TenantMixin)
    ]
    owned = tuple(cls for cls in classes if issubclass(cls, TenantRootMixin) or is_owned(cls))
    others = (cls for cls in classes if cls not in owned)
    return owned, tuple(TenantCriteria(cls, cls.tenant_id == NO_TENANT, include_aliases=True) for cls in others)


def is_owned(cls: Any) -> bool:
    """Tell whether rows of a tenant class can be an actor's own."""
    return cls.owned_by(NO_TENANT) is not None


@event.listens_for(TenantSession, "before_attach")
def check_attached(session: TenantSession, row: Any) -> None:
    """Refuse a stored row of another tenant that comes in from elsewhere: what is expired of it would be read."""
    if is_tenant_row(row) and inspect(row).has_identity:
        refuse_foreign(session, row)


@event.listens_for(TenantSession, "before_flush")
def check_flush(session: TenantSession, _: UOWTransaction, __: Any) -> None:
    """Stamp new rows with the tenant, refuse rows of another one, note which tables change."""
    rows: list[Any] = [*session.new, *session.dirty, *session.deleted]
    for row in rows:
        if row in session.dirty and not session.is_modified(row):
            continue
        if not session.info.get("filter_off") and any(hides_rows(value) for value in inspect(row).dict.values()):
            raise TenantViolationError(f"{type(row).__name__} holds a SELECT or text() as a value: read it first")
        if is_tenant_row(row):
            check_tenant_row(session, row)


def check_tenant_row(session: TenantSession, row: Any) -> None:
    """Stamp a new row, note its table, refuse it when it is, or was, of another tenant."""
    if row in session.new and getattr(row, owner_column(type(row)) or "") is None:
        row.tenant_id = session.tenant_id or NO_TENANT
    if not row.__bookkeeping__:
        session.changed.add(row.__tablename__)
    refuse_foreign(session, row)


def refuse_foreign(session: TenantSession, row: Any) -> None:
    """Raise for a row that is of another tenant than the session, or was when it was read."""
    owner = inspect(row).attrs[owner_column(type(row)) or ""]
    owners = {owner.value, *(owner.history.deleted or ())}
    if owners != {session.tenant_id} and not session.info.get("filter_off"):
        raise TenantViolationError(f"{type(row).__name__} is of another tenant than the session")
