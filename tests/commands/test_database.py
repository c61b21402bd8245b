"""`app check` and `app migrate`: facts of the database, and how they come about."""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.commands.failures import ask
from app.db.checks import policy_faults, role_faults
from tests.commands.support import Outcome, call, run, run_each
from tests.support import Cluster

KEYS = '["a key of the test suite, long enough to sign"]'
GOOD = "Settings, operations, roles, grants and policies are as they should be.\n"


@pytest.fixture
def clone(cluster: Cluster) -> Iterator[str]:
    """Make a database that may be spoiled."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    asyncio.run(cluster.clone(name))
    yield name
    asyncio.run(cluster.drop(name))


@pytest.fixture
def nothing(cluster: Cluster) -> Iterator[str]:
    """Name a database that is not there yet."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    yield name
    asyncio.run(cluster.run(f"drop database if exists {name} with (force)"))


def check(url: str) -> Outcome:
    """Run `app check` on an address of the application."""
    return run("check", APP_DATABASE__URL=url, APP_AUTH__SIGNING_KEYS=KEYS)


def test_a_good_database_passes(cluster: Cluster, database: str) -> None:
    """Everything as the migrations left it: status 0, and a word of it."""
    outcome = check(cluster.url("app_rw", database))
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.endswith(GOOD)
    assert "environment variable APP_DATABASE__URL" in outcome.out
    assert KEYS not in outcome.out


def test_a_spoiled_database_fails_with_every_fault(cluster: Cluster, clone: str) -> None:
    """Each fault is named on a line of its own, with the table and the policy; the status is 1."""
    for statement in (
        "alter table projects no force row level security",
        "drop policy projects_restrictive_select on projects",
        "create policy careless on notifications for select to app_rw using (true)",
        "alter policy memberships_permissive_delete on memberships using (true)",
        "create table forgotten (id int)",
        "grant truncate on audit_entries to app_rw",
    ):
        asyncio.run(cluster.run(statement, clone))
    outcome = check(cluster.url("app_rw", clone))
    assert outcome.code == 1
    assert GOOD not in outcome.out
    lines = sorted(outcome.err.splitlines())
    assert len(lines) == 6
    assert lines[0] == "role app_rw may truncate audit_entries: revoke it"
    assert lines[1].startswith("table forgotten is of no model")
    assert lines[2].startswith("table memberships: policy memberships_permissive_delete says (")
    assert lines[3] == "table notifications: policy careless is in no model"
    assert lines[4].startswith("table projects has no forced row security: run `app migrate`")
    assert lines[5] == "table projects: policy projects_restrictive_select is missing"


def test_a_role_that_could_do_all_fails(cluster: Cluster, database: str) -> None:
    """A superuser, and a role that may become the owner, are told apart from the application's."""
    faults = asyncio.run(ask(cluster.url("postgres", database), role_faults))
    assert "role postgres bypasses row security: connect as app_rw" in faults
    faults = asyncio.run(ask(cluster.url("app_migrator", database), role_faults))
    assert "role app_migrator owns the tables or may act as app_owner: connect as app_rw" in faults
    (fault,) = asyncio.run(ask(cluster.url("app_rw", database), policy_faults))
    assert fault.endswith('refuses: permission denied to set role "app_owner"')


def test_a_database_that_is_away_is_told() -> None:
    """Both addresses that do not answer are named, without their passwords."""
    outcome = check("postgresql+asyncpg://app_rw:hunter2@/app?host=/no/such/folder")
    assert outcome.code == 1
    lines = outcome.err.splitlines()
    assert [line.partition("@")[0] for line in lines] == [
        "the database at postgresql+asyncpg://app_rw:***",
        "the database at postgresql+asyncpg://app_migrator:***",
    ]
    assert all("does not answer: " in line for line in lines)


def test_migrate_leads_from_nothing_to_the_newest(cluster: Cluster, nothing: str) -> None:
    """With a superuser's address it makes roles, database and schema; the second time there is nothing to do."""
    url = cluster.url("app_rw", nothing)
    arguments = ("migrate", "--admin-url", cluster.admin_url)
    for call_arguments in (arguments, ("migrate",)):
        outcome = run(*call_arguments, APP_DATABASE__URL=url)
        assert (outcome.code, outcome.out, outcome.err) == (0, "The schema is up to date.\n", "")
    assert asyncio.run(ask(url, role_faults)) == []
    assert asyncio.run(ask(cluster.url("app_migrator", nothing), policy_faults)) == []


def test_migrate_tells_a_database_that_is_further(cluster: Cluster, clone: str) -> None:
    """A revision that this code does not know is one line, and nothing is done."""
    asyncio.run(cluster.run("update alembic_version set version_num = '9999'", clone))
    outcome = run("migrate", APP_DATABASE__URL=cluster.url("app_rw", clone))
    assert outcome.code == 1
    assert "9999" in outcome.complaint


def test_migrate_tells_a_database_that_is_away(cluster: Cluster) -> None:
    """No connection, no migration: one line."""
    outcome = run("migrate", APP_DATABASE__URL=cluster.url("app_rw", "no_such_database"))
    assert outcome.code == 1
    assert outcome.complaint.endswith('refuses: database "no_such_database" does not exist')


def test_migrate_wants_an_address_it_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    """A superuser's address of another form is refused with status 2, and not shown."""
    assert call("migrate", "--admin-url", "postgres://root:hunter2@db/app") == 2
    err = capsys.readouterr().err
    assert "must begin with postgresql+asyncpg://" in err
    assert "hunter2" not in err


FACTS = (
    "select table_name, column_name, data_type, is_nullable, column_default from information_schema.columns"
    " where table_schema = 'public'",
    "select tablename, policyname, permissive, roles, cmd, qual, with_check from pg_policies",
    "select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint"
    " where connamespace = 'public'::regnamespace",
    "select tablename, indexdef from pg_indexes where schemaname = 'public'",
    "select relname, relowner::regrole::text, relrowsecurity, relforcerowsecurity, relacl::text from pg_class"
    " where relnamespace = 'public'::regnamespace",
    "select attrelid::regclass::text, attname, attacl::text from pg_attribute where attacl is not null"
    " and attrelid >= 16384",
    "select id, name from tenants",
    "select version_num from alembic_version",
)
"""What a database is made of."""


def test_the_printed_sql_makes_the_same_database(
    capsys: pytest.CaptureFixture[str], cluster: Cluster, database: str, nothing: str
) -> None:
    """Printing needs no database; what is printed, run by a superuser in an empty one, makes what migrating makes."""
    assert call("migrate", "--sql", "--database", nothing) == 0
    script, err = capsys.readouterr()
    assert err == ""
    asyncio.run(cluster.run(f"create database {nothing}"))
    asyncio.run(play(cluster.url("postgres", nothing), script))
    for query in FACTS:
        printed, migrated = (sorted(map(repr, asyncio.run(cluster.rows(name, query)))) for name in (nothing, database))
        if "from tenants" in query:
            migrated = [row for row in migrated if "'system'" in row]
        assert printed, query
        assert printed == migrated
    assert asyncio.run(ask(cluster.url("app_rw", nothing), role_faults)) == []


async def play(url: str, script: str) -> None:
    """Run a script of many statements, as `psql -f` does."""
    engine = create_async_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        await raw.driver_connection.execute(script)
    await engine.dispose()


def test_purge_says_how_many_tenants_it_removed(cluster: Cluster, clone: str) -> None:
    """One is due; then none is."""
    due = """
        insert into tenants (id, name, version, deleted_at)
        values (gen_random_uuid(), 'gone', 1, now() - interval '31 days') returning 1
    """
    assert asyncio.run(cluster.rows(clone, due))
    outcomes = run_each(("purge",), ("purge",), APP_DATABASE__URL=cluster.url("app_rw", clone))
    assert outcomes == [Outcome(0, f"tenants: {count}, sign-ins: 0 removed.\n", "") for count in (1, 0)]


DUE = """
    with due as (
        insert into tenants (id, name, version, deleted_at)
        select gen_random_uuid(), name, 1, now() - age from (
            values ('stuck', interval '40 days'), ('other', interval '35 days')
        ) as wanted (name, age) returning id
    )
    insert into file_usage (tenant_id, id, size) select id, id, 0 from due returning 1
"""
HOLD = """
    create table held as select u.tenant_id, u.id from file_usage u join tenants t on t.id = u.tenant_id
    where t.name = 'stuck'
"""


def test_a_tenant_that_cannot_be_purged_keeps_no_other_from_it(cluster: Cluster, clone: str) -> None:
    """A table of somebody's own holds a row of the one that is due first; the last line counts such tenants."""
    asyncio.run(cluster.rows(clone, DUE))
    for statement in (HOLD, "alter table held add foreign key (tenant_id, id) references file_usage"):
        asyncio.run(cluster.run(statement, clone))
    (outcome,) = run_each(("purge",), APP_DATABASE__URL=cluster.url("app_rw", clone))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.splitlines()[-1] == "The purge failed for 1 tenant(s); see tenant_failed in the log"
    left = asyncio.run(cluster.rows(clone, "select name from tenants where deleted_at < now() and purged_at is null"))
    assert [row.name for row in left] == ["stuck"]


@pytest.mark.parametrize("role", ["postgres", "app_migrator"])
def test_serve_refuses_an_unsafe_role(cluster: Cluster, database: str, role: str) -> None:
    """Before a port is opened, the command says as whom to connect."""
    refused = run("serve", "--port", "1", APP_DATABASE__URL=cluster.url(role, database), APP_AUTH__SIGNING_KEYS=KEYS)
    assert refused.code == 1
    assert refused.err.splitlines()[0].endswith("connect as app_rw")


def test_serve_says_that_the_database_is_away() -> None:
    """A database that nobody answers for is one line too."""
    url = "postgresql+asyncpg://app_rw@/app?host=/nowhere"
    refused = run("serve", "--port", "1", APP_DATABASE__URL=url, APP_AUTH__SIGNING_KEYS=KEYS)
    assert refused.code == 1
    assert "does not answer: " in refused.complaint
