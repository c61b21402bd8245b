"""What a session of a tenant, and one of none, lets in and out beside statements."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import Select, func, inspect, select, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import make_transient_to_detached

from app.audit.models import AuditEntry
from app.db.exceptions import TenantViolationError
from app.db.session import Database
from app.modules.notifications.models import Notification
from app.modules.projects.models import Project
from app.tenants.models import Membership, Tenant
from app.users.models import User
from tests.db.pair import ANN, OURS, THEIRS, UNSCOPED, Pair, everything, key

NAMES = select(func.string_agg(Project.description, ",")).scalar_subquery()
FOREIGN = select(Project).where(Project.tenant_id == THEIRS, Project.name == "one")


def stored(tenant: Any) -> Project:
    """Return a project of a tenant as another session would have left it: stored, and with nothing loaded."""
    project = Project(tenant_id=tenant, id=key(tenant, "one"))
    make_transient_to_detached(project)
    return project


async def ours(session: Database) -> Project:
    """Return a project of the session's tenant."""
    return (await session.scalars(select(Project).where(Project.name == "one"))).one()


async def add_foreign(session: Database) -> None:
    """Add a new row of another tenant."""
    session.add(Project(tenant_id=THEIRS, name="new", description="", created_by=ANN))
    await session.flush()


async def add_root(session: Database) -> None:
    """Add a tenant that is not the session's."""
    session.add(Tenant(id=ANN, name="new"))
    await session.flush()


async def move(session: Database) -> None:
    """Give a row of ours to another tenant."""
    (await ours(session)).tenant_id = THEIRS
    await session.flush()


async def take(session: Database) -> None:
    """Take over a row of another tenant that was read on purpose."""
    project = (await session.scalars(FOREIGN, execution_options=UNSCOPED)).one()
    project.tenant_id, project.name = OURS, "taken"
    await session.flush()


async def change_foreign(session: Database) -> None:
    """Change a row of another tenant that was read on purpose."""
    (await session.scalars(FOREIGN, execution_options=UNSCOPED)).one().name = "changed"
    await session.flush()


async def delete_foreign(session: Database) -> None:
    """Delete a row of another tenant that was read on purpose."""
    await session.delete((await session.scalars(FOREIGN, execution_options=UNSCOPED)).one())
    await session.flush()


async def attach(session: Database) -> None:
    """Bring in a stored row of another tenant, to read what is not loaded of it."""
    session.add(stored(THEIRS))


async def attach_by_delete(session: Database) -> None:
    """Bring in a stored row of another tenant by deleting it."""
    await session.delete(stored(THEIRS))


async def merge(session: Database) -> None:
    """Bring in a stored row of another tenant without looking it up."""
    await session.merge(stored(THEIRS), load=False)


async def merge_new(session: Database) -> None:
    """Bring in a row of another tenant as if it were new."""
    await session.merge(Project(tenant_id=THEIRS, id=key(THEIRS, "one"), name="merged"))
    await session.flush()


async def write_a_subquery(session: Database) -> None:
    """Let the database compute a value of a row by a SELECT, which nothing would narrow."""
    (await ours(session)).description = NAMES
    await session.flush()


async def write_a_text(session: Database) -> None:
    """Let it compute one by text, in a global row."""
    user = (await session.scalars(select(User).where(User.id == ANN))).one()
    value: Any = text("(select string_agg(description, ',') from projects)")
    user.full_name = value
    await session.flush()


async def add_a_subquery(session: Database) -> None:
    """Let it compute one of a new row."""
    session.add(Project(name="new", description=NAMES, created_by=ANN))
    await session.flush()


async def bulk_save(session: Database) -> None:
    """Save rows past the flush."""
    await session.run_sync(lambda sync: sync.bulk_save_objects([stored(THEIRS)]))


async def bulk_insert(session: Database) -> None:
    """Insert rows past the flush."""
    await session.run_sync(lambda sync: sync.bulk_insert_mappings(inspect(Project), [{"tenant_id": THEIRS}]))


async def bulk_update(session: Database) -> None:
    """Update rows past the flush."""
    await session.run_sync(lambda sync: sync.bulk_update_mappings(inspect(Project), [{"tenant_id": THEIRS}]))


async def connect(session: Database) -> None:
    """Take the connection."""
    await session.connection()


async def connect_inside(session: Database) -> None:
    """Take the connection from the session inside."""
    await session.run_sync(lambda sync: sync.connection())


STEPS: list[Callable[[Database], Awaitable[None]]] = [
    add_foreign,
    add_root,
    move,
    take,
    change_foreign,
    delete_foreign,
    attach,
    attach_by_delete,
    merge,
    merge_new,
    write_a_subquery,
    write_a_text,
    add_a_subquery,
    bulk_save,
    bulk_insert,
    bulk_update,
    connect,
    connect_inside,
]


@pytest.mark.parametrize("step", STEPS)
async def test_a_way_round_the_tenant_is_refused(pair: Pair, step: Callable[[Database], Awaitable[None]]) -> None:
    """Rows come and go by their tenant's session alone, and nothing is written before the refusal."""
    async with pair.both() as fresh:
        before = await everything(fresh)
    async with pair.both(tenant_id=OURS) as session:
        with pytest.raises(TenantViolationError):
            await step(session)
        session.expunge_all()
        assert await everything(session) == before


async def test_a_row_is_found_by_its_own_tenants_key_alone(pair: Pair) -> None:
    """`get` answers for a foreign or a deleted row as for a missing one; what is loaded can be read again."""
    async with pair.both(tenant_id=OURS) as session:
        assert await session.get(Project, (THEIRS, key(THEIRS, "one"))) is None
        assert await session.get(Project, (OURS, key(OURS, "gone"))) is None
        project = await session.get_one(Project, (OURS, key(OURS, "one")))
        session.expire(project)
        await session.refresh(project)
        assert project.description == "of a"


async def test_a_stored_row_of_its_own_may_come_back(pair: Pair) -> None:
    """What another session has left is read again here."""
    async with pair.both(tenant_id=OURS) as session:
        session.add(project := stored(OURS))
        await session.refresh(project)
        assert project.description == "of a"


async def test_a_database_function_may_be_a_value(pair: Pair) -> None:
    """Only what reads other rows is refused."""
    async with pair.both(tenant_id=OURS) as session:
        notice = (await session.scalars(select(Notification).where(Notification.title == "a one"))).one()
        notice.read_at = func.now()
        await session.flush()
        await session.refresh(notice)
        assert notice.read_at is not None


async def test_a_connection_is_handed_out_to_those_who_say_why(pair: Pair) -> None:
    """It goes past every check, in the session's transaction."""
    async with pair.both(tenant_id=OURS) as session:
        connection = await session.connection(unscoped="a test")
        assert await connection.scalar(text("select count(*) from projects")) == 6
        assert await connection.scalar(text("select current_setting('app.tenant_id')")) == str(OURS)


async def test_legacy_queries_are_narrowed_too(pair: Pair) -> None:
    """`Query` goes the same way as a statement."""
    async with pair.both(tenant_id=OURS) as session:
        assert await session.run_sync(lambda sync: sync.query(Project).count()) == 2
        assert await session.run_sync(lambda sync: sync.query(Notification).update({"title": "x"})) == 2
        assert await session.run_sync(lambda sync: sync.query(Notification).delete()) == 2


@pytest.mark.parametrize("model", [Project, Notification, AuditEntry, Membership, Tenant])
@pytest.mark.parametrize("actor", [None, ANN])
async def test_without_a_tenant_there_are_own_places_only(pair: Pair, model: Any, actor: Any) -> None:
    """A person sees their own memberships and the tenants these lead to; every other table is empty."""
    expected = 2 if actor and model in {Membership, Tenant} else 0
    async with pair.both(actor_id=actor) as session:
        assert await session.scalar(select(func.count()).select_from(model)) == expected
        assert len((await session.scalars(select(model))).all()) == expected


async def test_own_places_are_found_together(pair: Pair) -> None:
    """A join over both shows the actor's memberships, not those of others in the same tenants."""
    query = select(Tenant.id, Membership.user_id).join(Membership, Membership.tenant_id == Tenant.id)
    async with pair.both(actor_id=ANN) as session:
        assert set((await session.execute(query)).all()) == {(OURS, ANN), (THEIRS, ANN)}


async def test_a_tenant_is_entered_also_in_a_transaction_under_way(pair: Pair) -> None:
    """The filter and the transaction's settings change together."""
    setting = text("select current_setting('app.tenant_id')")
    async with pair.both(actor_id=ANN) as session:
        assert await session.scalar(setting, execution_options=UNSCOPED) == ""
        await session.enter(OURS)
        assert await session.scalar(setting, execution_options=UNSCOPED) == str(OURS)
        assert await session.scalar(select(func.count()).select_from(Project)) == 2


async def test_a_tenant_is_entered_once(pair: Pair) -> None:
    """Not twice, not over the one a session began with, not with rows of a tenant at hand."""
    makers: async_sessionmaker[Database] = pair.both
    async with makers(actor_id=ANN) as twice, makers(tenant_id=OURS) as begun, makers(actor_id=ANN) as holding:
        await twice.enter(OURS)
        held: Select[Any] = select(Membership)
        rows = (await holding.scalars(held)).all()
        for session in (twice, begun, holding):
            with pytest.raises(TenantViolationError):
                await session.enter(THEIRS)
    async with makers(actor_id=ANN) as pending:
        pending.add(Project(name="new", description="", created_by=ANN))
        with pytest.raises(TenantViolationError):
            await pending.enter(OURS)
    assert rows


@pytest.mark.parametrize("with_deleted", [False, True])
async def test_deleted_rows_are_hidden_until_asked_for(pair: Pair, *, with_deleted: bool) -> None:
    """In every part of a statement alike."""
    options = {"with_deleted": with_deleted}
    inner = select(Project.id).subquery()
    counts = [
        select(func.count()).select_from(Project),
        select(func.count()).select_from(inner),
        select(func.count()).select_from(select(Project.id).cte()),
        select(func.count(Project.id))
        .join(Notification, Notification.kind == "project.created")
        .where(Notification.title == "a one"),
        select(select(func.count(Project.id)).scalar_subquery()).select_from(User).where(User.id == ANN),
    ]
    async with pair.both(tenant_id=OURS) as session:
        found = [await session.scalar(query, execution_options=options) for query in counts]
        assert found == [3 if with_deleted else 2] * len(counts)
        project = await session.get(Project, (OURS, key(OURS, "gone")), execution_options=options)
        assert (project is not None) is with_deleted
