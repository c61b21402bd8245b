"""What the filter cannot narrow is refused before it reaches the database, unless the statement says why."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import (
    Executable,
    String,
    bindparam,
    column,
    delete,
    exists,
    extract,
    func,
    insert,
    join,
    literal,
    literal_column,
    select,
    table,
    tablesample,
    text,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased, joinedload, with_loader_criteria
from sqlalchemy.orm import join as mapped_join
from sqlalchemy.sql.elements import quoted_name

from app.core.outbox import LEASE
from app.db.exceptions import TenantViolationError
from app.modules.notifications.models import Notification
from app.modules.projects.models import Project
from app.tenants.models import Membership, Tenant
from app.users.models import User
from tests.db.pair import ANN, OURS, THEIRS, Pair, everything, key

projects: Any = Project.__table__
Other = aliased(Project)
RAW = "(select string_agg(description, ',') from projects)"

BARE: dict[str, Callable[[], Executable]] = {
    "table": lambda: select(projects),
    "a table's column": lambda: select(User.id, projects.c.description),
    "a table's alias": lambda: select(User.id, projects.alias().c.description),
    "a table beside its class": lambda: select(Project.id, projects.alias().c.description),
    "a table in a subquery beside its class": lambda: select(
        Project.id, select(func.count()).select_from(projects).scalar_subquery()
    ),
    "a class over a table's subquery": lambda: select(aliased(Project, select(projects).subquery())),
    "a table in exists()": lambda: select(User.id).where(exists().where(projects.c.description == "of b")),
    "a table in IN": lambda: select(Notification).where(literal("of b").in_(select(projects.c.description))),
    "a table joined": lambda: select(User.id).join(projects, projects.c.created_by == User.id),
    "a table joined by its class": lambda: select(User.id).join(projects, Project.created_by == User.id),
    "a table ordered by its class": lambda: select(User.id).select_from(User, projects).order_by(Project.name),
    "a table's sample": lambda: select(Project.id, tablesample(projects, func.bernoulli(100)).c.description),
    "from_statement of a table": lambda: select(Project).from_statement(select(projects)),
    "light table": lambda: select(User.id, table("projects", column("description")).c.description),
    "light table by another name": lambda: select(
        User.id, table(quoted_name("PROJECTS", quote=False), column("description")).c.description
    ),
    "criteria over a table": lambda: select(User).options(
        with_loader_criteria(User, exists(select(literal(1)).where(projects.c.description == "of b")))
    ),
}

UNREACHED: dict[str, Callable[[], Executable]] = {
    "named in a function only": lambda: select(User.id).where(func.lower(Notification.title) == "b one"),
    "the second class of a function": lambda: select(func.concat(User.email, Notification.title)),
    "the second class of an operator": lambda: select(User.email + Other.description),
    "the second class in an aggregate": lambda: select(func.max(Project.name + Notification.title)),
    "in a function in exists()": lambda: select(Project.id).where(
        exists(select(literal(1)).where(func.concat(Notification.title, Project.name) == "b oneone"))
    ),
    "full join": lambda: select(User.id, Membership.tenant_id).join(
        Membership, Membership.user_id == User.id, full=True
    ),
    "the right side of a join": lambda: select(func.count(User.id)).select_from(
        mapped_join(User, Membership, Membership.user_id == User.id)
    ),
    "the right side of an outer join": lambda: select(func.count(User.id)).select_from(
        mapped_join(User, Membership, Membership.user_id == User.id, isouter=True)
    ),
    "a join of joins": lambda: select(func.count(User.id)).select_from(
        mapped_join(mapped_join(User, Membership, true()), Notification, true())
    ),
    "a plain join": lambda: select(func.count(User.id)).select_from(join(User, Membership, true())),
    "no class at all": lambda: select(exists().where(Project.description == "of b")),
}

RAW_SQL: dict[str, Callable[[], Executable]] = {
    "text": lambda: text("select * from projects"),
    "text in where": lambda: select(Project).where(text("true or true")),
    "text in order_by": lambda: select(Project).order_by(text("name")),
    "text in from_statement": lambda: select(Project).from_statement(text("select * from projects")),
    "text as a subquery": lambda: select(
        User.id, text("select name from projects").columns(column("name", String)).subquery().c.name
    ),
    "text in an option": lambda: select(Membership).options(
        joinedload(Membership.user.and_(text(f"{RAW} is not null")))
    ),
    "text in an update": lambda: update(Project).values(description=text(RAW)),
    "literal_column": lambda: select(Project.id, literal_column(RAW)),
    "unquoted column": lambda: select(User.id, column(quoted_name(RAW, quote=False))),
    "prefix": lambda: select(Project.id).prefix_with(f"{RAW},"),
    "suffix": lambda: select(Project.id).suffix_with("union all select id from projects"),
    "hint": lambda: select(Project.id).with_statement_hint("union all select id from projects"),
    "operator": lambda: select(Project).where(Project.name.op("is null or 'x' =")("x")),
    "comment": lambda: select(Project).where(Project.name.op("<> '' --")("x")),
    "catalogue": lambda: select(User.id, table("pg_stats", column("most_common_vals")).c.most_common_vals),
    "extract": lambda: select(User.id, extract(f"year from now()), {RAW}, extract(year", User.created_at)),
    "query_to_xml": lambda: select(User.id, func.query_to_xml("select * from projects", True, False, "")),
    "set_config": lambda: select(User.id, func.set_config("app.tenant_id", str(THEIRS), True)),
    "start_outbox_entry": lambda: select(User.id, func.start_outbox_entry(THEIRS, THEIRS, LEASE)),
    "a write in a CTE": lambda: select(User).add_cte(update(Notification).values(title="x").cte()),
    "a write as a CTE": lambda: select(delete(Notification).returning(Notification.id).cte().c.id),
    "a write in from_statement": lambda: select(Project).from_statement(
        update(Project).values(name="x").returning(Project)
    ),
}

STATEMENTS: dict[str, Any] = BARE | UNREACHED | RAW_SQL


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_that_hides_something_is_refused(pair: Pair, name: str) -> None:
    """The message says what hides, and how to get through on purpose."""
    async with pair.both(tenant_id=OURS) as session:
        with pytest.raises(TenantViolationError, match="unscoped='why'"):
            await session.execute(STATEMENTS[name]())


@pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")  # is what some of them are about
@pytest.mark.parametrize("name", [*BARE, *UNREACHED])
async def test_a_refused_statement_passes_when_it_says_why(pair: Pair, name: str) -> None:
    """And then it does reach the other tenant: nothing was refused for no reason."""
    assert await pair.unscoped(STATEMENTS[name]()) != await pair.expected(STATEMENTS[name]())


PROJECT = {"id": key(OURS, "new"), "name": "new", "description": "", "status": "active", "created_by": ANN}
NOTICE = {"user_id": ANN, "kind": "", "object_id": ANN, "title": "", "id": key(OURS, "one")}
upserted = upsert(Project).on_conflict_do_update

WRITES: dict[str, tuple[Any, Any]] = {
    "update of a table": (update(projects).values(name="x"), None),
    "delete of a table": (delete(projects), None),
    "update from": (update(Project).where(Notification.title == "b one").values(description=Notification.title), None),
    "update from an alias": (
        update(Project).where(Other.description == "of b").values(description=Other.description),
        None,
    ),
    "update of a global row from": (update(User).where(Notification.kind != "").values(full_name="x"), None),
    "delete using": (delete(Project).where(Notification.title == "b one"), None),
    "insert into another tenant": (insert(Project), [PROJECT | {"tenant_id": THEIRS}]),
    "insert one into another tenant": (insert(Project), PROJECT | {"tenant_id": THEIRS}),
    "one of two rows": (insert(Project), [PROJECT | {"tenant_id": OURS}, PROJECT | {"tenant_id": THEIRS}]),
    "insert into no tenant": (insert(Project), [PROJECT]),
    "insert of nothing": (insert(Project), None),
    "another root": (insert(Tenant), [{"id": ANN, "name": "x", "version": 1}]),
    "values()": (insert(Project).values(PROJECT | {"tenant_id": OURS}), None),
    "many values()": (insert(Project).values([PROJECT | {"tenant_id": OURS}]), None),
    "values() over a good row": (insert(Project).values(tenant_id=THEIRS), PROJECT | {"tenant_id": OURS}),
    "insert from select": (
        insert(Project).from_select(["tenant_id", "id"], select(Project.tenant_id, Project.id)),
        None,
    ),
    "insert into a table": (insert(projects), [PROJECT | {"tenant_id": THEIRS}]),
    "insert with a write": (
        insert(Project).add_cte(update(Notification).values(title="x").cte()),
        [PROJECT | {"tenant_id": OURS}],
    ),
    "conflict moves the row": (
        upserted(index_elements=["tenant_id", "id"], set_={"tenant_id": THEIRS}),
        [PROJECT | {"tenant_id": OURS}],
    ),
    "conflict moves the row, by column": (
        upserted(index_elements=["tenant_id", "id"], set_={projects.c.tenant_id: THEIRS}),
        [PROJECT | {"tenant_id": OURS}],
    ),
    "update of tenant_id by name": (update(Project).values(tenant_id=THEIRS), None),
    "update of tenant_id by attribute": (update(Project).values({Project.tenant_id: THEIRS}), None),
    "update of tenant_id in order": (update(Project).ordered_values((Project.tenant_id, THEIRS)), None),
    "update of tenant_id by parameter": (update(Project), {"tenant_id": THEIRS}),
    "update of the root's id": (update(Tenant).values(id=THEIRS), None),
    "keys of another tenant": (update(Notification), [NOTICE | {"tenant_id": THEIRS}]),
    "keys without a tenant": (update(Notification), [NOTICE]),
    "another root's key": (update(Tenant), [{"id": THEIRS, "name": "x", "version": 1}]),
    "rows that are no keys": (
        update(Notification).where(Notification.id == bindparam("which")).execution_options(dml_strategy="core_only"),
        [{"which": key(THEIRS, "one"), "tenant_id": OURS}],
    ),
    "rows for every row": (
        update(Notification).execution_options(dml_strategy="orm"),
        [{"title": "x", "tenant_id": OURS}],
    ),
    "keys, returning a subquery": (
        update(Notification).returning(select(func.max(Project.description)).scalar_subquery()),
        [NOTICE | {"tenant_id": OURS}],
    ),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_write_that_leaves_the_tenant_is_refused(pair: Pair, name: str) -> None:
    """No row is written, moved or named that is not of the session's tenant."""
    statement, given = WRITES[name]
    async with pair.both(tenant_id=OURS) as session:
        before = await everything(session)
        with pytest.raises(TenantViolationError):
            await session.execute(statement, given)
        assert await everything(session) == before
