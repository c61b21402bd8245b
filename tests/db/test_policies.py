"""Row security alone, by the driver alone: no session, no filter."""

from collections.abc import AsyncIterator

import asyncpg
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.db.tenancy import GLOBAL_TABLES, VERBS, secured_tables
from tests.db.raw import Raw, become, connect_as
from tests.isolation.lanes import Lane
from tests.isolation.rivals import fill
from tests.support import Cluster, Team, chained, found_team, superuser

TABLES = [table.name for table in secured_tables()]
READABLE = [table.name for table in secured_tables() if "select" in table.info.get("verbs", VERBS)]
"""What the application may read at all."""

WRITTEN = [table for table in ("memberships", "projects", "notifications", "idempotency_keys") if table in TABLES]
"""What it may change and delete, of everything."""


@pytest.fixture
async def rw(cluster: Cluster, database: str) -> AsyncIterator[Raw]:
    """Connect as the application's role, inside a transaction that is never committed."""
    async with connect_as(cluster, "app_rw", database) as connection:
        await connection.transaction().start()
        yield connection


@pytest.fixture(scope="module")
async def settled(client: AsyncClient, application: FastAPI, cluster: Cluster, database: str) -> Team:
    """Give two tenants, which no test here changes, a row in every table; the answers kept are to their requests."""
    team = await found_team(client, cluster, database)
    await chained(cluster, database)
    everything = Lane(application, client, superuser(cluster.url("postgres", database)))
    for caller in (team.owner, team.stranger):
        keyed = {"Idempotency-Key": "settled"}
        assert (await caller.call("POST", "/projects", json={"name": "settled"}, headers=keyed)).status_code == 201
        for table, rows in (await everything.rows(caller.tenant_id)).items():
            if not rows:
                await fill(everything, table, caller.tenant_id, f"settled {caller.tenant_id}")
    return team


@pytest.mark.parametrize("table", READABLE)
async def test_without_a_tenant_there_are_no_rows(rw: Raw, settled: Team, table: str) -> None:
    """Nobody set, or an empty text: every table of tenants looks empty."""
    assert await rw.fetchval(f"select count(*) from {table}") == 0
    await become(rw)
    assert await rw.fetchval(f"select count(*) from {table}") == 0


@pytest.mark.parametrize("table", READABLE)
async def test_with_a_tenant_there_are_its_rows_alone(rw: Raw, settled: Team, table: str) -> None:
    """Rows of the tenant, and at least one, whoever the actor is."""
    await become(rw, settled.owner.tenant_id, settled.stranger.user_id)
    column = "id" if table == "tenants" else "tenant_id"
    assert {row[0] for row in await rw.fetch(f"select {column} from {table}")} == {settled.owner.tenant_id}


async def test_without_a_tenant_people_see_their_own_places(rw: Raw, settled: Team) -> None:
    """An actor sees the own memberships and the tenants these lead to, of everything else nothing."""
    await become(rw, actor_id=settled.admin.user_id)
    places = {row[0] for row in await rw.fetch("select tenant_id from memberships")}
    assert settled.owner.tenant_id in places
    assert {row[0] for row in await rw.fetch("select id from tenants")} == places
    assert {row[0] for row in await rw.fetch("select user_id from memberships")} == {settled.admin.user_id}
    assert await rw.fetchval("select count(*) from projects") == 0


async def test_without_a_tenant_people_see_the_answers_to_their_own_requests(rw: Raw, settled: Team) -> None:
    """An actor sees them wherever they were given, and nobody else's."""
    await become(rw, actor_id=settled.owner.user_id)
    assert {row[0] for row in await rw.fetch("select actor_id from idempotency_keys")} == {settled.owner.user_id}
    await become(rw, actor_id=settled.admin.user_id)
    assert await rw.fetchval("select count(*) from idempotency_keys") == 0


@pytest.mark.parametrize("statement", ["update {} set tenant_id = tenant_id", "delete from {}"])
@pytest.mark.parametrize("table", WRITTEN)
async def test_a_write_reaches_the_tenants_rows_alone(rw: Raw, settled: Team, table: str, statement: str) -> None:
    """An UPDATE or DELETE of everything touches what belongs to the tenant, and nothing else."""
    await become(rw, settled.owner.tenant_id)
    mine = await rw.fetchval(f"select count(*) from {table}")
    assert mine > 0
    done = await rw.execute(statement.format(table))
    assert int(done.split()[-1]) == mine


async def test_a_row_cannot_be_put_into_another_tenant(rw: Raw, settled: Team) -> None:
    """Neither by INSERT nor by moving one there."""
    await become(rw, settled.owner.tenant_id)
    other = settled.stranger.tenant_id
    insert = "insert into memberships (tenant_id, id, user_id, role) values ($1, gen_random_uuid(), $2, 'owner')"
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with rw.transaction():
            await rw.execute(insert, other, settled.owner.user_id)
    for table in ("memberships", "projects"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
            async with rw.transaction():
                await rw.execute(f"update {table} set tenant_id = $1", other)


@pytest.mark.parametrize(
    "statement",
    [
        "truncate projects",
        "alter table projects disable row level security",
        "drop policy projects_restrictive_select on projects",
        "create policy open on projects using (true)",
        "create table mine (id int)",
        "create temporary table mine (id int)",
        "create function mine() returns int language sql as 'select 1'",
        "set role app_owner",
        "set role postgres",
        "set role app_migrator",
        "update audit_entries set action = 'x.y'",
        "delete from audit_entries",
        "truncate audit_entries",
        "update audit_chain set seq = 1",
        "delete from audit_chain",
        "truncate audit_chain",
        "insert into audit_chain select * from audit_chain",
        "select 1 from audit_unchained",
        "update audit_unchained set digest = ''",
        "delete from audit_unchained",
        "truncate audit_unchained",
        "insert into audit_unchained (tenant_id, id, digest) values (gen_random_uuid(), gen_random_uuid(), '')",
        "alter table audit_entries disable trigger queue_audit_entry",
        "set session_replication_role = replica",
        "update users set is_superuser = true",
        "insert into users (id, email, full_name, is_superuser) values (gen_random_uuid(), 'a@b.c', 'x', true)",
        "delete from users",
        "delete from credentials",
        "update auth_sessions set user_id = user_id",
        "update credentials set user_id = user_id",
        "copy projects to program 'true'",
        "select pg_read_file('/etc/passwd')",
    ],
)
async def test_the_applications_role_may_not(rw: Raw, settled: Team, statement: str) -> None:
    """What would open the tables, forge the audit or make a superuser is refused by grant."""
    await become(rw, settled.owner.tenant_id)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await rw.execute(statement)


async def test_a_look_across_tenants_sees_no_business(rw: Raw, settled: Team) -> None:
    """As app_admin: tenants, memberships and people of all, to read; of the rest not even the table."""
    await rw.execute("set local role app_admin")
    for table in ("tenants", "memberships", "users"):
        assert await rw.fetchval(f"select count(*) from {table}") > 1
    for statement in ("select 1 from projects", "select 1 from credentials", "update tenants set name = 'x'"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with rw.transaction():
                await rw.execute(statement)


async def test_a_tenant_ends_with_its_transaction(cluster: Cluster, database: str, settled: Team) -> None:
    """On a connection that is used again nothing of the transaction before is left."""
    async with connect_as(cluster, "app_rw", database) as connection:
        async with connection.transaction():
            await become(connection, settled.owner.tenant_id)
            assert await connection.fetchval("select count(*) from projects") == 1
        assert await connection.fetchval("select count(*) from projects") == 0


@pytest.mark.parametrize("parent", ["owner", "stranger"])
async def test_a_foreign_parent_is_refused_by_key(cluster: Cluster, database: str, settled: Team, parent: str) -> None:
    """A composite key, as `tenant_fk` makes it, finds a parent of the same tenant, and none of another."""
    query = "select id from projects where tenant_id = :tenant"
    [[parent_id]] = await cluster.rows(database, query, tenant=settled[parent].tenant_id)
    async with connect_as(cluster, "postgres", database) as owner:
        await owner.execute("begin; create table children (tenant_id uuid, project_id uuid)")
        await owner.execute("insert into children values ($1, $2)", settled.owner.tenant_id, parent_id)
        key = "foreign key (tenant_id, project_id) references projects (tenant_id, id)"
        if parent == "owner":
            await owner.execute(f"alter table children add {key}")
        else:
            with pytest.raises(asyncpg.ForeignKeyViolationError):
                await owner.execute(f"alter table children add {key}")


def test_every_table_is_of_one_kind() -> None:
    """No table is both global and a tenant's."""
    assert set(TABLES) & set(GLOBAL_TABLES) == set()
