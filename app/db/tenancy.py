"""Roles, grants and row-security policies, as SQL that migrations run and checks compare.

Every policy asks for `app.tenant_id` and `app.actor_id`, which a session sends with BEGIN. An unset tenant means no
rows, never all rows. Each policy stands twice, permissive and restrictive, so that a careless additional policy
cannot widen it.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

from sqlalchemy import Table

from app.config import settings
from app.db.base import Base
from app.db.inspection import tenant_tables

GLOBAL_TABLES = ("users", "credentials", "auth_sessions", "refresh_tokens", "auth_links")
"""Tables without row security; only the narrow services of `users` and `auth` reach them."""

SYSTEM_TENANT_ID = uuid.UUID("00000000-0000-7000-8000-000000000000")
"""The tenant that owns what happens without one, such as a failed sign-in."""

TENANT = "(select nullif(current_setting('app.tenant_id', true), '')::uuid)"
ACTOR = "(select nullif(current_setting('app.actor_id', true), '')::uuid)"
VERBS = ("select", "insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Roles:
    """The database roles; their names share a prefix, so that two installations can live in one cluster."""

    owner: str
    migrator: str
    rw: str
    worker: str
    relay: str
    admin: str

    @classmethod
    def named(cls, prefix: str) -> "Roles":
        """Return the roles of one installation."""
        return cls(*(f"{prefix}_{field.name}" for field in fields(cls)))

    def statements(self) -> Iterator[str]:
        """Yield what makes the roles, for a superuser; idempotent. Passwords are the administrator's to set."""
        for name, kind in (
            (self.owner, "nologin"),
            (self.migrator, "login"),
            (self.rw, "login noinherit"),
            (self.worker, "login noinherit"),
            (self.relay, "login noinherit"),
            (self.admin, "nologin"),
        ):
            yield (
                f"do $$ begin create role {name} {kind}; exception when duplicate_object or unique_violation then null;"
                " end $$"
            )
        yield f"grant {self.owner} to {self.migrator}"
        # The worker looks across tenants for what is to be purged.
        for role in (self.rw, self.worker):
            yield f"grant {self.admin} to {role} with inherit false, set true"


def roles() -> Roles:
    """Return the roles of this installation, by `database.role_prefix`."""
    return Roles.named(settings.database.role_prefix)


def database_statements(database: str) -> Iterator[str]:
    """Yield what a superuser runs inside a new database: the owner owns it, and nobody else makes tables."""
    yield f"alter database {database} owner to {roles().owner}"
    yield f"revoke temporary on database {database} from public"
    yield "revoke create on schema public from public"


@dataclass(frozen=True, slots=True)
class Visibility:
    """Which rows of a table may be read, and which written, as conditions of a policy."""

    read: str
    write: str


TENANT_ROWS = Visibility(f"tenant_id = {TENANT}", f"tenant_id = {TENANT}")
"""What most tables of tenants ask for: the rows of the current tenant, and nothing while none is set."""

MEMBERSHIP_ROWS = Visibility(
    read=f"tenant_id = {TENANT} or ({TENANT} is null and user_id = {ACTOR})",
    write=f"tenant_id = {TENANT}",
)
"""Also the actor's own memberships, but only while no tenant is set: a tenant's member list shows no other one."""

ACTOR_ROWS = Visibility(
    read=f"tenant_id = {TENANT} or ({TENANT} is null and actor_id = {ACTOR})",
    write=f"tenant_id = {TENANT}",
)
"""The same for rows that name an actor: the answers kept for requests that select no tenant."""

TENANTS_ROWS = Visibility(
    read=(
        f"id = {TENANT} or ({TENANT} is null and id in"  # noqa: S608 - constants, and a policy takes no parameters
        f" (select m.tenant_id from memberships m where m.user_id = {ACTOR}))"
    ),
    write=f"id = {TENANT}",
)
"""The tenant itself; while none is set, those of which the actor is a member."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One row-security policy, as it should stand in the catalogue."""

    table: str
    name: str
    kind: str
    verb: str
    to: tuple[str, ...]
    using: str | None
    check: str | None

    def statement(self) -> str:
        """Return the CREATE POLICY."""
        conditions = [f"using ({self.using})"] if self.using else []
        conditions += [f"with check ({self.check})"] if self.check else []
        return (
            f"create policy {self.name} on {self.table} as {self.kind} for {self.verb} to {', '.join(self.to)}"
            f" {' '.join(conditions)}"
        )


def policies(table: str, visibility: Visibility = TENANT_ROWS) -> list[Policy]:
    """Return the policies of one tenant table: four verbs, permissive and restrictive."""
    names = roles()
    found = []
    for kind in ("permissive", "restrictive"):
        for verb in VERBS:
            using = {"select": visibility.read, "insert": None}.get(verb, visibility.write)
            check = visibility.write if verb in {"insert", "update"} else None
            found.append(Policy(table, f"{table}_{kind}_{verb}", kind, verb, (names.rw, names.worker), using, check))
    return found


def admin_policy(table: str) -> Policy:
    """Return the policy that lets a superuser's look (SET LOCAL ROLE) read every row of one table."""
    return Policy(table, f"{table}_admin_select", "permissive", "select", (roles().admin,), "true", None)


@dataclass(frozen=True, slots=True)
class Relayed:
    """What the relay may do with the rows of all tenants: columns to read, write, insert, never a payload; deletion."""

    read: tuple[str, ...]
    write: tuple[str, ...] = ()
    insert: tuple[str, ...] = ()
    delete: bool = False

    @property
    def columns(self) -> dict[str, tuple[str, ...]]:
        """Return the columns of each verb that is for some."""
        found = {"select": self.read, "insert": self.insert, "update": self.write}
        return {verb: columns for verb, columns in found.items() if columns}

    def policies(self, table: str) -> list[Policy]:
        """Return the policies that show the relay every row."""
        verbs = [*self.columns, *(["delete"] if self.delete else [])]
        return [free_policy(table, roles().relay, verb) for verb in verbs]

    def statements(self, table: str) -> Iterator[str]:
        """Yield the grants and policies, for a migration."""
        relay = roles().relay
        for verb, columns in self.columns.items():
            yield f"grant {verb} ({', '.join(columns)}) on {table} to {relay}"
        if self.delete:
            yield f"grant delete on {table} to {relay}"
        yield from (policy.statement() for policy in self.policies(table))


def free_policy(table: str, role: str, verb: str) -> Policy:
    """Return the policy that hides no row of one table from a role outside the tenants: the relay, the owner."""
    name = role.removeprefix(f"{settings.database.role_prefix}_")
    using = None if verb == "insert" else "true"
    check = "true" if verb in {"insert", "update"} else None
    return Policy(table, f"{table}_{name}_{verb}", "permissive", verb, (role,), using, check)


def owner_policies(table: str, verbs: Sequence[str]) -> list[Policy]:
    """Return the policies for the owner's own functions: row security is forced, so that it binds the owner too."""
    return [free_policy(table, roles().owner, verb) for verb in verbs]


def wanted_policies() -> list[Policy]:
    """Return every policy that the models ask for."""
    return [policy for table in secured_tables() for policy in policies_of(table)]


def policies_of(table: Table) -> list[Policy]:
    """Return the policies of a model's table, by its `info`.

    `visibility` says who sees which rows, `admin` allows a superuser's look, `relay` is what is `Relayed`, and `owner`
    holds the verbs of the owner's own functions.
    """
    found = policies(table.name, table.info.get("visibility", TENANT_ROWS))
    if table.info.get("admin"):
        found.append(admin_policy(table.name))
    if relayed := table.info.get("relay"):
        found += relayed.policies(table.name)
    return [*found, *owner_policies(table.name, table.info.get("owner", ()))]


def wanted_grants() -> Iterator[tuple[str, str, str]]:
    """Yield role, table and verb of each right to a whole table, by `info`: `verbs`, `admin` and `relay`."""
    names = roles()
    for table in Base.metadata.sorted_tables:
        verbs = table.info.get("verbs", ("select",) if table.name in GLOBAL_TABLES else VERBS)
        yield from ((role, table.name, verb) for role in (names.rw, names.worker) for verb in verbs)
        if table.info.get("admin"):
            yield names.admin, table.name, "select"
        if "relay" in table.info and table.info["relay"].delete:
            yield names.relay, table.name, "delete"


def wanted_column_grants() -> Iterator[tuple[str, str, str, str]]:
    """Yield role, table, verb and column of each right of the relay that is for some columns alone."""
    for table in Base.metadata.sorted_tables:
        relayed: Relayed | None = table.info.get("relay")
        for verb, columns in relayed.columns.items() if relayed else ():
            yield from ((roles().relay, table.name, verb, column) for column in columns)


def secured_tables() -> list[Table]:
    """Return the tables that must be closed by row security, in order of name."""
    names = sorted(tenant_tables())
    return [Base.metadata.tables[name] for name in names]


def secure(
    table: str,
    *,
    visibility: Visibility = TENANT_ROWS,
    verbs: str = "select, insert, update, delete",
    admin: bool = False,
) -> Iterator[str]:
    """Yield what closes a new tenant table, for a migration: row security, policies, grants for `verbs`.

    A migration that changes a policy drops the old ones and calls this again; what this helper yields for a table
    that stands is never edited.
    """
    names = roles()
    yield f"alter table {table} enable row level security"
    yield f"alter table {table} force row level security"
    if verbs:
        yield f"grant {verbs} on {table} to {names.rw}, {names.worker}"
    for policy in policies(table, visibility):
        yield policy.statement()
    if admin:
        yield f"grant select on {table} to {names.admin}"
        yield admin_policy(table).statement()


def share(table: str, *, insert: str = "", update: str = "", delete: bool = False) -> Iterator[str]:
    """Yield the grants of a global table: read all; write the named columns only."""
    names = roles()
    yield f"grant select on {table} to {names.rw}, {names.worker}"
    for verb, columns in (("insert", insert), ("update", update)):
        if columns:
            yield f"grant {verb} ({columns}) on {table} to {names.rw}, {names.worker}"
    if delete:
        yield f"grant delete on {table} to {names.rw}, {names.worker}"
