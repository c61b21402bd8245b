"""The session and its tenant: every statement is narrowed to it, what cannot be narrowed is refused."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Executable, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import ORMExecuteState, Session, SessionTransaction, UOWTransaction, with_loader_criteria

from app.db.base import Base
from app.db.inspection import changed_table, first_opaque_part, is_tenant_row, moves_rows, names_only
from app.db.mixin import SoftDeleteMixin, TenantMixin, TenantRootMixin

NO_TENANT = uuid.UUID(int=0)
SEEN = object()
"""Marks a write that was looked into: SQLAlchemy selects the rows it will touch by the bare columns of its table."""

SET_TENANT = text("select set_config('app.tenant_id', :tenant, true)").execution_options(
    unscoped="enters the tenant itself"
)


class TenantViolationError(RuntimeError):
    """A statement or a row would leave the session's tenant; always a mistake in the code, never in the input."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts of one transaction, in seconds; 0 switches one off."""

    statement: float = 15.0
    lock: float = 5.0
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
        settings = {
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

    async def connection(self, *args: Any, unscoped: str = "", **options: Any) -> AsyncConnection:
        """Return the connection, past every check, to those who say why."""
        if not unscoped:
            raise TenantViolationError("connection() goes round the tenant: say connection(unscoped='why')")
        return await super().connection(*args, **options)


@event.listens_for(TenantSession, "after_begin")
def send_settings(session: TenantSession, _: SessionTransaction, connection: Connection) -> None:
    """Hand the transaction's settings to the driver, which sends them together with BEGIN."""
    driver: Any = connection.connection.driver_connection
    driver.opening = session.opening()


@event.listens_for(TenantSession, "do_orm_execute")
def narrow(state: ORMExecuteState) -> None:
    """Narrow SELECT, UPDATE and DELETE, check INSERT, refuse what the filter cannot see into."""
    session = state.session
    if not isinstance(session, TenantSession) or state.is_column_load:
        return
    session.changed.update(changed_table(state))
    if session.info.get("filter_off") or state.execution_options.get("unscoped"):
        return
    if state.execution_options.get("seen") is not SEEN:
        refuse_opaque(state)
    if state.is_update or state.is_delete:
        state.update_execution_options(seen=SEEN)
    if state.is_insert or names_only(state):
        check_rows(state, session.tenant_id)
    else:
        state.statement = scoped(
            state.statement, session, with_deleted=state.execution_options.get("with_deleted", False)
        )


def refuse_opaque(state: ORMExecuteState) -> None:
    """Raise for a statement that holds a part in which another tenant's rows could hide."""
    if not state.is_orm_statement:
        raise TenantViolationError("not a statement over mapped classes: say execution_options(unscoped='why')")
    part = None if state.is_relationship_load else first_opaque_part(state)
    if part is not None:
        raise TenantViolationError(f"{part}: use the mapped classes, or say execution_options(unscoped='why')")
    if moves_rows(state):
        raise TenantViolationError("tenant_id never changes")


def check_rows(state: ORMExecuteState, tenant_id: uuid.UUID | None) -> None:
    """Accept rows given as parameters only when each names the session's tenant."""
    mapper = state.bind_mapper
    if mapper is None or not issubclass(mapper.class_, TenantMixin):
        return
    rows: list[Any] = state.parameters if isinstance(state.parameters, list) else [state.parameters or {}]
    if any(row.get("tenant_id") != tenant_id for row in rows):
        raise TenantViolationError(f"{mapper.class_.__name__}: every row must name the session's tenant_id")


def scoped(statement: Any, session: TenantSession, *, with_deleted: bool) -> Executable:
    """Return the statement narrowed to the session's tenant in every entity, alias, subquery and lazy load."""
    tenant = session.tenant_id
    options = [] if with_deleted else [LIVE]
    if tenant is None:
        options += [with_loader_criteria(cls, own, include_aliases=True) for cls, own in own_rows(session.actor_id)]
    else:
        options += [
            with_loader_criteria(TenantMixin, lambda cls: cls.tenant_id == tenant, include_aliases=True),
            with_loader_criteria(TenantRootMixin, lambda cls: cls.id == tenant, include_aliases=True),
        ]
    narrowed: Executable = statement.options(*options)
    return narrowed


LIVE = with_loader_criteria(SoftDeleteMixin, lambda cls: cls.deleted_at.is_(None), include_aliases=True)


def own_rows(actor_id: uuid.UUID | None) -> list[tuple[type[Any], Any]]:
    """Return, for each tenant class, what may be seen while no tenant is set: the actor's own rows, or none."""
    found = []
    for mapper in Base.registry.mappers:
        cls: Any = mapper.class_
        if issubclass(cls, TenantRootMixin):
            found.append((cls, cls.owned_by(actor_id or NO_TENANT)))
        elif issubclass(cls, TenantMixin):
            own = cls.owned_by(actor_id or NO_TENANT)
            found.append((cls, cls.tenant_id == NO_TENANT if own is None else own))
    return found


@event.listens_for(TenantSession, "before_flush")
def check_flush(session: TenantSession, _: UOWTransaction, __: Any) -> None:
    """Stamp new rows with the tenant, refuse rows of another one, note which tables change."""
    rows: list[Any] = [*session.new, *session.dirty, *session.deleted]
    for row in rows:
        if not is_tenant_row(row) or (row in session.dirty and not session.is_modified(row)):
            continue
        if row in session.new and getattr(row, "tenant_id", row.id) is None:
            row.tenant_id = session.tenant_id or NO_TENANT
        if not row.__bookkeeping__:
            session.changed.add(row.__tablename__)
        owner = row.tenant_id if isinstance(row, TenantMixin) else row.id
        if owner != session.tenant_id and not session.info.get("filter_off"):
            raise TenantViolationError(f"{type(row).__name__} is of another tenant than the session")
