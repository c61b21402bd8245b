"""The checks at boot and of `app check`: each fact that must hold is broken once, in a database of its own."""

import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.db.checks import UnsafeDatabaseError, grant_faults, policy_faults, refuse_unsafe, role_faults
from app.main import create_app
from tests.support import Cluster

SHUT = "alter table projects enable row level security"


@pytest.fixture(scope="module")
async def clone(cluster: Cluster) -> AsyncIterator[str]:
    """Make a database to tamper with; yield its name."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    yield name
    await cluster.drop(name)


async def boot(cluster: Cluster, database: str, role: str = "app_rw") -> list[str]:
    """Return what the boot check finds."""
    engine = create_async_engine(cluster.url(role, database), poolclass=NullPool)
    try:
        return await role_faults(engine)
    finally:
        await engine.dispose()


async def compare(cluster: Cluster, database: str) -> list[str]:
    """Return how the policies differ from what the models ask for."""
    engine = create_async_engine(cluster.url("app_migrator", database), poolclass=NullPool)
    try:
        return await policy_faults(engine)
    finally:
        await engine.dispose()


async def test_a_migrated_database_is_safe(cluster: Cluster, database: str) -> None:
    """The application's roles and every policy are as they should be."""
    assert [await boot(cluster, database, role) for role in ("app_rw", "app_worker")] == [[], []]
    assert await compare(cluster, database) == []


@pytest.mark.parametrize(
    ("role", "fault"),
    [
        ("postgres", "role postgres bypasses row security: connect as app_rw"),
        ("app_migrator", "role app_migrator owns the tables or may act as app_owner: connect as app_rw"),
    ],
)
async def test_a_role_with_too_many_rights_is_refused(cluster: Cluster, database: str, role: str, fault: str) -> None:
    """A superuser and the owner's deputy see past the policies; the message says as whom to connect."""
    assert fault in await boot(cluster, database, role)


async def test_a_role_that_bypasses_is_refused(cluster: Cluster, database: str) -> None:
    """BYPASSRLS alone is enough to be refused."""
    role = f"bypass_{uuid.uuid4().hex[:8]}"
    await cluster.run(f"create role {role} login bypassrls in role app_rw")
    try:
        assert f"role {role} bypasses row security: connect as app_rw" in await boot(cluster, database, role)
    finally:
        await cluster.run(f"drop role {role}")


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ("role = 'app_admin'", "becomes app_admin when it connects"),
        ("row_security = off", "connects with settings that change what it sees"),
        ("app.tenant_id = '00000000-0000-7000-8000-000000000000'", "connects with settings that change what it sees"),
    ],
)
async def test_a_role_that_is_another_once_connected_is_refused(
    cluster: Cluster, clone: str, setting: str, fault: str
) -> None:
    """What a role brings along by ALTER ROLE counts as what it is."""
    role = f"odd_{uuid.uuid4().hex[:8]}"
    await cluster.run(f"create role {role} login in role app_rw")
    await cluster.run(f"grant app_admin to {role} with set true")
    await cluster.run(f"alter role {role} in database {clone} set {setting}")
    try:
        assert any(fault in line for line in await boot(cluster, clone, role))
    finally:
        await cluster.run(f"alter role {role} in database {clone} reset all")
        await cluster.run(f"drop role {role}")


@pytest.mark.parametrize(
    ("tamper", "mend", "fault"),
    [
        (
            "grant update on audit_entries to app_rw",
            "revoke update on audit_entries from app_rw",
            "role app_rw may update audit_entries: revoke it",
        ),
        (
            "grant select on projects to app_admin",
            "revoke select on projects from app_admin",
            "role app_admin may select projects: revoke it",
        ),
        (
            "revoke select on users from app_worker",
            "grant select on users to app_worker",
            "role app_worker may not select users: run `app migrate`",
        ),
        (
            "grant insert on users to app_rw",
            "revoke insert on users from app_rw",
            "role app_rw may insert users: revoke it",
        ),
        (
            "grant select (after) on audit_entries to app_relay",
            "revoke select (after) on audit_entries from app_relay",
            "role app_relay may select audit_entries (after): revoke it",
        ),
        (
            "revoke insert (seq) on audit_chain from app_relay",
            "grant insert (seq) on audit_chain to app_relay",
            "role app_relay may not insert audit_chain (seq): run `app migrate`",
        ),
    ],
)
async def test_a_grant_too_many_or_too_few_is_named(
    cluster: Cluster, clone: str, tamper: str, mend: str, fault: str
) -> None:
    """`app check` compares what each role may do with what the models ask for."""
    engine = create_async_engine(cluster.url("app_migrator", clone), poolclass=NullPool)
    assert await grant_faults(engine) == []
    await cluster.run(tamper, clone)
    try:
        assert await grant_faults(engine) == [fault]
    finally:
        await cluster.run(mend, clone)


@pytest.mark.parametrize(
    ("tamper", "mend", "fault"),
    [
        (
            "alter table projects disable row level security",
            SHUT,
            "table projects has no forced row security: run `app migrate`, see `app check`",
        ),
        (
            "alter table projects no force row level security",
            "alter table projects force row level security",
            "table projects has no forced row security: run `app migrate`, see `app check`",
        ),
        ("grant truncate on projects to app_rw", "revoke truncate on projects from app_rw", "may truncate projects"),
        ("create table stray (id int)", "drop table stray", "table stray is of no model, neither tenant nor global"),
        ("alter table projects rename to gone", "alter table gone rename to projects", "table projects is missing"),
    ],
    ids=["row security off", "not forced", "truncate", "unknown table", "missing table"],
)
async def test_a_table_that_is_not_safe_is_named(
    cluster: Cluster, clone: str, tamper: str, mend: str, fault: str
) -> None:
    """The application does not start on it, and says which table and why."""
    await cluster.run(tamper, clone)
    try:
        app = create_app(url=cluster.url("app_rw", clone))
        with pytest.raises(UnsafeDatabaseError, match=fault):
            async with app.router.lifespan_context(app):
                raise AssertionError("it started")
    finally:
        await cluster.run(mend, clone)
    assert await boot(cluster, clone) == []


OPEN = "create policy open on projects for select to app_rw using (true)"
LOOSE = "alter policy projects_permissive_select on projects using (true)"
FOR_ALL = "alter policy projects_restrictive_update on projects to public"
GONE = "drop policy projects_restrictive_delete on projects"


@pytest.mark.parametrize(
    ("tamper", "fault"),
    [
        (OPEN, "table projects: policy open is in no model"),
        (LOOSE, "table projects: policy projects_permissive_select says"),
        (FOR_ALL, "table projects: policy projects_restrictive_update says"),
        (GONE, "table projects: policy projects_restrictive_delete is missing"),
    ],
    ids=["added", "loosened", "for everybody", "dropped"],
)
async def test_a_policy_that_is_not_the_models_is_named(cluster: Cluster, tamper: str, fault: str) -> None:
    """Alembic does not see policies; this does, and leaves nothing behind."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    try:
        await cluster.run(tamper, name)
        [found] = await compare(cluster, name)
        assert found.startswith(fault)
        assert await cluster.rows(name, "select 1 from pg_class where relpersistence = 't'") == []
    finally:
        await cluster.drop(name)


async def test_an_unsafe_database_stops_the_boot(cluster: Cluster, database: str) -> None:
    """`refuse_unsafe` raises with every fault in one message."""
    engine = create_async_engine(cluster.url("postgres", database), poolclass=NullPool)
    with pytest.raises(UnsafeDatabaseError, match="bypasses row security"):
        await refuse_unsafe(engine)
    await engine.dispose()
