"""What goes to the database, counted at the driver."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from asyncpg.connection import LoggedQuery
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from app.core.context import Context
from app.core.unit_of_work import UnitOfWork
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from tests.core.conftest import Stage
from tests.support import Caller, Team


@dataclass
class Traffic:
    """What went out: the borders of transactions as the driver sent them, and the statements between."""

    borders: list[str] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)

    def note(self, query: LoggedQuery) -> None:
        """Keep what the driver itself says."""
        if query.query.startswith(("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT")):
            self.borders.append(query.query)

    def note_statement(self, _: Any, __: Any, statement: str, *_rest: Any) -> None:
        """Keep what SQLAlchemy hands to the driver."""
        self.statements.append(statement)

    @property
    def verbs(self) -> list[str]:
        """Return the first word of each statement."""
        return [statement.split(maxsplit=1)[0] for statement in self.statements]


@contextmanager
def watched(engine: AsyncEngine) -> Iterator[Traffic]:
    """Yield what goes to the server over connections that are made from here on."""
    traffic = Traffic()

    def watch(connection: Any, _: Any) -> None:
        connection.driver_connection.add_query_logger(traffic.note)

    event.listen(engine.sync_engine, "connect", watch)
    event.listen(engine.sync_engine, "before_cursor_execute", traffic.note_statement)
    try:
        yield traffic
    finally:
        event.remove(engine.sync_engine, "connect", watch)
        event.remove(engine.sync_engine, "before_cursor_execute", traffic.note_statement)


async def nothing(_: Context) -> None:
    """Do nothing."""


async def twice(ctx: Context) -> None:
    """Let one service call another, twice over: each creation audits and notifies."""
    for _ in range(2):
        await ProjectService(ctx).create(ProjectCreate(name=f"project {uuid.uuid4()}"))


def engine_of(caller: Caller) -> AsyncEngine:
    """Return the engine of the application that the caller talks to."""
    work: UnitOfWork = caller.client._transport.app.state.serving.gate.work  # type: ignore[attr-defined]
    engine: AsyncEngine = work.sessions.kw["bind"]
    return engine


async def test_a_request_is_one_transaction_whose_settings_come_with_begin(stage: Stage, team: Team) -> None:
    """A create asks the gate, inserts, reads the members, notifies and audits: one BEGIN, one COMMIT, five between."""
    async with stage(team.owner, nothing) as caller:
        with watched(engine_of(caller)) as traffic:
            await caller.create_project()
    begin, commit = traffic.borders
    assert begin.startswith("BEGIN;")
    assert f"set_config('app.tenant_id', '{team.owner.tenant_id}', true)" in begin
    assert f"set_config('app.actor_id', '{team.owner.user_id}', true)" in begin
    assert commit == "COMMIT;"
    assert traffic.verbs == ["SELECT", "INSERT", "INSERT", "INSERT"]
    assert not any("set_config" in statement for statement in traffic.statements)


async def test_a_key_costs_two_statements(stage: Stage, team: Team) -> None:
    """The look, with the lock in it, and the answer's row; a repetition is the gate and the look."""
    body, key = {"name": f"project {uuid.uuid4()}"}, {"Idempotency-Key": str(uuid.uuid4())}
    async with stage(team.owner, nothing) as caller:
        with watched(engine_of(caller)) as first:
            assert (await caller.call("POST", "/projects", json=body, headers=key)).status_code == 201
        with watched(engine_of(caller)) as second:
            assert (await caller.call("POST", "/projects", json=body, headers=key)).status_code == 201
    assert first.verbs == ["SELECT", "SELECT", "INSERT", "INSERT", "INSERT", "INSERT"]
    assert second.verbs == ["SELECT", "SELECT"]
    assert "pg_try_advisory_xact_lock" in first.statements[1]


async def test_services_that_call_services_share_it(stage: Stage, team: Team) -> None:
    """Two creations in one view, each through three services, are still one BEGIN and one COMMIT."""
    async with stage(team.owner, twice) as caller:
        with watched(engine_of(caller)) as traffic:
            assert (await caller.call("POST", "/trial")).status_code == 200
    assert [border[:6].rstrip(";") for border in traffic.borders] == ["BEGIN", "COMMIT"]


async def test_a_read_is_read_only_and_two_statements(stage: Stage, team: Team) -> None:
    """A list asks the gate and the table, in a transaction that cannot write."""
    async with stage(team.owner, nothing) as caller:
        with watched(engine_of(caller)) as traffic:
            assert (await caller.call("GET", "/projects")).status_code == 200
    assert "set transaction read only" in traffic.borders[0]
    assert traffic.verbs == ["SELECT", "SELECT"]


async def test_liveness_opens_no_transaction(stage: Stage, team: Team) -> None:
    """An open operation that asks for no Context does not touch the database."""
    async with stage(team.owner, nothing) as caller:
        with watched(engine_of(caller)) as traffic:
            assert (await caller.call("GET", "/core/health/live")).status_code == 200
    assert (traffic.borders, traffic.statements) == ([], [])
