"""The filter alone narrows every shape of UPDATE and DELETE, and lets in rows of its own tenant only."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import delete, exists, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.orm import aliased

from app.modules.notifications.models import Notification
from app.modules.projects.models import Project
from app.tenants.models import Tenant
from app.users.models import User
from tests.db.pair import ANN, OURS, THEIRS, UNSCOPED, Pair, everything, key, shown

Write = tuple[Any, Any]
"""A statement, and its rows."""

Other = aliased(Project)
ALL_TITLES = select(func.string_agg(Notification.title, ",")).scalar_subquery()
NEW = {"tenant_id": OURS, "id": key(OURS, "new"), "description": "new", "status": "active", "created_by": ANN}
ONE = {"tenant_id": OURS, "id": key(OURS, "one")}
KEYS = ["tenant_id", "id"]


def upserted(**changes: Any) -> Any:
    """Return an INSERT of a project that is there, and what it does then."""
    return upsert(Project).on_conflict_do_update(index_elements=KEYS, set_=changes)


SHAPES: dict[str, Callable[[], Write]] = {
    "all rows": lambda: (update(Project).values(description="changed"), None),
    "all rows, nothing loaded": lambda: (
        update(Project).values(description="changed").execution_options(synchronize_session=False),
        None,
    ),
    "values as a parameter": lambda: (update(Project), {"description": "changed"}),
    "values in order": lambda: (update(Project).ordered_values((Project.description, "changed")), None),
    "rows found by name": lambda: (update(Project).where(Project.name == "one").values(description="changed"), None),
    "a column's value": lambda: (update(Project).values(description=Project.name), None),
    "a subquery's value": lambda: (update(Project).values(description=ALL_TITLES), None),
    "a subquery of the same table": lambda: (
        update(Project).values(description=select(func.string_agg(Other.description, ",")).scalar_subquery()),
        None,
    ),
    "a global row from a subquery": lambda: (update(User).values(full_name=ALL_TITLES), None),
    "where exists": lambda: (
        update(Project).where(exists().where(Notification.title == "b one")).values(description="changed"),
        None,
    ),
    "where in": lambda: (
        delete(Project).where(Project.id.in_(select(Notification.object_id).where(Notification.title != ""))),
        None,
    ),
    "where in a CTE": lambda: (
        delete(Project).where(Project.id.in_(select(select(Notification.object_id).cte().c.object_id))),
        None,
    ),
    "returning": lambda: (update(Project).values(description="changed").returning(Project), None),
    "returning a subquery": lambda: (update(User).values(full_name="x").returning(ALL_TITLES), None),
    "delete": lambda: (delete(Project), None),
    "delete returning": lambda: (delete(Project).returning(Project.description), None),
    "delete by a foreign key": lambda: (delete(Project).where(Project.id == key(THEIRS, "one")), None),
    "the root": lambda: (update(Tenant).values(name="changed"), None),
    "rows by their keys": lambda: (update(Notification), [ONE | {"title": "changed"}]),
    "insert": lambda: (insert(Project), [NEW | {"name": "new"}]),
    "insert one": lambda: (insert(Project).returning(Project), NEW | {"name": "new"}),
    "insert returning a subquery": lambda: (insert(Project).returning(ALL_TITLES), [NEW | {"name": "new"}]),
    "upsert": lambda: (upserted(description="changed"), [NEW | ONE | {"name": "one"}]),
    "upsert from a subquery": lambda: (upserted(description=ALL_TITLES), [NEW | ONE | {"name": "one"}]),
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_a_write_does_what_it_would_do_if_the_tenant_were_alone(pair: Pair, shape: str) -> None:
    """It leaves the other tenant's rows as they are, and takes nothing of them over."""
    statement, rows = SHAPES[shape]()
    async with pair.both(tenant_id=OURS) as session, pair.alone(tenant_id=OURS) as alone:
        before = await everything(session)
        result = shown(await session.execute(statement, rows))
        after = await everything(session)
        assert result == shown(await alone.execute(statement, rows, execution_options=UNSCOPED))
        expected = await everything(alone)
    assert after[str(THEIRS)] == before[str(THEIRS)]
    assert without_deleted(after[str(OURS)]) == expected[str(OURS)]
    assert after["None"] == expected["None"]


def without_deleted(rows: list[str]) -> list[str]:
    """Return rows without the deleted project, which only one of the two databases has."""
    return [row for row in rows if '"gone"' not in row]


async def test_deleted_rows_are_not_written_to(pair: Pair) -> None:
    """A bulk UPDATE leaves what is deleted alone, unless it says otherwise."""
    async with pair.both(tenant_id=OURS) as session:
        statement = update(Project).values(status="archived").returning(Project.name)
        assert set(await session.scalars(statement)) == {"one", "two"}
        found = await session.scalars(statement, execution_options={"with_deleted": True})
        assert set(found) == {"one", "two", "gone"}


@pytest.mark.parametrize("tenant", [None, OURS])
async def test_a_session_writes_to_its_own_tenant_only(pair: Pair, tenant: Any) -> None:
    """Without a tenant, people see their own memberships and tenants, and can write to neither."""
    async with pair.both(tenant_id=tenant, actor_id=ANN) as session:
        before = await everything(session)
        await session.execute(update(Tenant).values(name="changed"))
        await session.execute(delete(Notification))
        after = await everything(session)
    assert (after == before) is (tenant is None)
    assert after[str(THEIRS)] == before[str(THEIRS)]
