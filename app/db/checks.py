"""Facts that the database must show before the application trusts it with tenants."""

from collections.abc import AsyncIterator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app.db.tenancy import (
    GLOBAL_TABLES,
    Policy,
    policies_of,
    roles,
    secured_tables,
    wanted_column_grants,
    wanted_grants,
)

ROLE_FACTS = text("""
    select r.rolname, r.rolsuper, r.rolbypassrls, pg_has_role(r.oid, o.oid, 'MEMBER') as owns
    from pg_roles r left join pg_roles o on o.rolname = :owner
    where r.rolname = any(:names)
""")
TABLE_FACTS = text("""
    select c.relname, c.relrowsecurity and c.relforcerowsecurity as closed,
           c.relowner = current_user::regrole as mine,
           has_table_privilege(c.oid, 'TRUNCATE') as truncates
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = 'public' and c.relkind in ('r', 'p') and c.relname <> 'alembic_version'
""")
SETTINGS = text(r"""
    select s.setconfig::text from pg_db_role_setting s
    where s.setrole in (0, (select oid from pg_roles where rolname = session_user))
        and s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
        and s.setconfig::text ~ '(^|[{,"])(role|row_security|app\.|session_replication_role|search_path)'
""")
GRANTS = text("""
    select r.rolname as role, c.relname as table, v.verb
    from pg_roles r, pg_class c join pg_namespace n on n.oid = c.relnamespace,
        unnest(array['select', 'insert', 'update', 'delete', 'truncate']) as v (verb)
    where r.rolname = any(:names) and n.nspname = 'public' and c.relkind in ('r', 'p')
        and c.relname <> 'alembic_version' and has_table_privilege(r.oid, c.oid, v.verb)
""")
COLUMN_GRANTS = text("""
    select r.rolname as role, c.relname as table, v.verb, a.attname as column
    from pg_roles r, pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid,
        unnest(array['select', 'insert', 'update']) as v (verb)
    where r.rolname = :name and n.nspname = 'public' and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped
        and has_column_privilege(r.oid, c.oid, a.attnum, v.verb) and not has_table_privilege(r.oid, c.oid, v.verb)
""")
POLICY_FACTS = text("""
    select policyname, lower(permissive) as kind, lower(cmd) as verb, roles::text[] as to, qual, with_check
    from pg_policies where tablename = :table and schemaname = :schema
""")


class UnsafeDatabaseError(RuntimeError):
    """The database is not set up as the tenancy rules ask; the message lists each fact that is wrong."""


async def refuse_unsafe(engine: AsyncEngine) -> None:
    """Raise `UnsafeDatabaseError` unless the role and the tables are safe; run at every boot."""
    faults = await role_faults(engine)
    if faults:
        raise UnsafeDatabaseError("; ".join(faults))


async def role_faults(engine: AsyncEngine) -> list[str]:
    """Return what is wrong with the connected role and with the tables it can see."""
    async with engine.connect() as connection:
        return [
            *[fault async for fault in connected_faults(connection)],
            *[fault async for fault in table_faults(connection)],
        ]


async def connected_faults(connection: AsyncConnection) -> AsyncIterator[str]:
    """Yield what is wrong with the role, in words, with what to do."""
    names = roles()
    me = await connection.scalar(text("select current_user"))
    connected = await connection.scalar(text("select session_user"))
    if me != connected:
        yield f"role {connected} becomes {me} when it connects: alter role {connected} reset role"
    for line in await connection.scalars(SETTINGS):
        cure = f"alter role {connected} reset all"
        yield f"role {connected} connects with settings that change what it sees: {line}; {cure}"
    found = await connection.execute(ROLE_FACTS, {"owner": names.owner, "names": [me]})
    role = found.one()
    if role.rolsuper or role.rolbypassrls:
        yield f"role {me} bypasses row security: connect as {names.rw}"
    elif role.owns:
        yield f"role {me} owns the tables or may act as {names.owner}: connect as {names.rw}"


async def table_faults(connection: AsyncConnection) -> AsyncIterator[str]:
    """Yield what is wrong with the tables, as the role sees them."""
    me = await connection.scalar(text("select current_user"))
    tables = {row.relname: row for row in await connection.execute(TABLE_FACTS)}
    for table in (table.name for table in secured_tables()):
        if table not in tables:
            yield f"table {table} is missing: run `app migrate`"
        elif not tables[table].closed:
            yield f"table {table} has no forced row security: run `app migrate`, see `app check`"
    known = {table.name for table in secured_tables()} | set(GLOBAL_TABLES)
    for name, row in tables.items():
        if name not in known:
            yield f"table {name} is of no model, neither tenant nor global: see GLOBAL_TABLES in app/db/tenancy.py"
        if row.truncates:
            yield f"role {me} may truncate {name}: revoke it"


async def policy_faults(engine: AsyncEngine) -> list[str]:
    """Compare each table's policies with what the models ask for; needs the migrator, leaves nothing behind.

    PostgreSQL rewrites a policy's text, so the wanted ones are made on a scratch table of the same name and columns
    and read back: what differs then, differs in meaning.
    """
    faults = []
    async with engine.connect() as connection:
        await connection.execute(text(f"set local role {roles().owner}"))
        for table in secured_tables():
            stands = await read_policies(connection, table.name, "public")
            wanted = await rehearse(connection, table.name, policies_of(table))
            faults += [f"table {table.name}: {line}" for line in differences(stands, wanted)]
        await connection.rollback()
    return faults


async def grant_faults(engine: AsyncEngine) -> list[str]:
    """Compare what each of our roles may do with whole tables, and the relay with columns, with what models ask for."""
    names = roles()
    ours = (names.rw, names.worker, names.relay, names.admin)
    async with engine.connect() as connection:
        found = {(row.role, row.table, row.verb) for row in await connection.execute(GRANTS, {"names": list(ours)})}
        some = await connection.execute(COLUMN_GRANTS, {"name": names.relay})
        found |= {(row.role, f"{row.table} ({row.column})", row.verb) for row in some}
    wanted = set(wanted_grants())
    wanted |= {(role, f"{table} ({column})", verb) for role, table, verb, column in wanted_column_grants()}
    extra = [f"role {role} may {verb} {table}: revoke it" for role, table, verb in found - wanted]
    missing = [f"role {role} may not {verb} {table}: run `app migrate`" for role, table, verb in wanted - found]
    return sorted([*extra, *missing])


async def rehearse(connection: AsyncConnection, table: str, policies: list[Policy]) -> dict[str, tuple[object, ...]]:
    """Return policies as the catalogue would show them."""
    savepoint = await connection.begin_nested()
    await connection.execute(text(f"create temporary table {table} (like public.{table})"))
    for policy in policies:
        await connection.execute(text(policy.statement()))
    schema = await connection.scalar(text("select nspname from pg_namespace where oid = pg_my_temp_schema()"))
    found = await read_policies(connection, table, str(schema))
    await savepoint.rollback()
    return found


async def read_policies(connection: AsyncConnection, table: str, schema: str) -> dict[str, tuple[object, ...]]:
    """Return what the catalogue says, by policy name."""
    rows = await connection.execute(POLICY_FACTS, {"table": table, "schema": schema})
    return {row.policyname: (row.kind, row.verb, sorted(row.to), row.qual, row.with_check) for row in rows}


def differences(stands: dict[str, tuple[object, ...]], wanted: dict[str, tuple[object, ...]]) -> list[str]:
    """Return in words what is missing, what is too much, and what reads otherwise."""
    missing = [f"policy {name} is missing" for name in wanted.keys() - stands.keys()]
    extra = [f"policy {name} is in no model" for name in stands.keys() - wanted.keys()]
    changed = [
        f"policy {name} says {stands[name]}, the models ask for {wanted[name]}"
        for name in wanted.keys() & stands.keys()
        if stands[name] != wanted[name]
    ]
    return sorted([*missing, *extra, *changed])
