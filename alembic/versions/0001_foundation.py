"""People, sign-in, tenants, memberships and the audit.

Revision: 0001; after: nothing.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.db.tenancy import MEMBERSHIP_ROWS, SYSTEM_TENANT_ID, TENANTS_ROWS, roles, secure, share

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

NOW = sa.text("now()")


def moment(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    """Return a column for an aware UTC time."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=NOW if now else None)


def upgrade() -> None:
    """Make the tables and close them."""
    op.execute(f"grant usage on schema public to {roles().rw}, {roles().worker}, {roles().relay}, {roles().admin}")
    create_people()
    create_sign_in()
    create_tenants()
    create_audit()


def create_people() -> None:
    """Make `users`; nobody but the owner can make a superuser."""
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(), nullable=False),
        sa.Column("is_superuser", sa.Boolean(), server_default="false", nullable=False),
        moment("disabled_at", nullable=True),
        moment("created_at", now=True),
        moment("updated_at", now=True),
    )
    op.create_index("uq_users_email", "users", ["email"], unique=True)
    columns = "email, full_name, disabled_at, updated_at"
    run(share("users", insert=f"id, {columns}, created_at", update=columns))
    op.execute(f"grant select on users to {roles().admin}")


def create_sign_in() -> None:
    """Make the tables of passwords, sessions and refresh tokens."""
    op.create_table(
        "credentials",
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), primary_key=True),
        sa.Column("password_hash", sa.String(), nullable=False),
        moment("changed_at", now=True),
    )
    run(share("credentials", insert="user_id, password_hash, changed_at", update="password_hash, changed_at"))
    op.create_table(
        "auth_sessions",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        moment("created_at", now=True),
        moment("expires_at"),
        moment("ended_at", nullable=True),
    )
    op.create_index(None, "auth_sessions", ["user_id"])
    run(
        share(
            "auth_sessions",
            insert="id, user_id, created_at, expires_at, ended_at",
            update="expires_at, ended_at",
        )
    )
    op.create_table(
        "refresh_tokens",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("session_id", sa.Uuid(), sa.ForeignKey("auth_sessions.id"), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        moment("created_at", now=True),
        moment("exchanged_at", nullable=True),
        sa.Column("nonce", sa.LargeBinary(), nullable=True),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(None, "refresh_tokens", ["session_id"])
    links = "id, session_id, token_hash, created_at, exchanged_at, nonce"
    run(share("refresh_tokens", insert=links, update="exchanged_at, nonce"))


def create_tenants() -> None:
    """Make `tenants` and `memberships`, with the tenant of what happens without one."""
    op.create_table(
        "tenants",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("disabled_modules", postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False),
        moment("created_at", now=True),
        moment("updated_at", now=True),
        sa.Column("version", sa.Integer(), nullable=False),
    )
    tenants = sa.table(
        "tenants", sa.column("id", sa.Uuid()), sa.column("name", sa.String()), sa.column("version", sa.Integer())
    )
    op.execute(sa.insert(tenants).values(id=SYSTEM_TENANT_ID, name="system", version=1))
    op.create_table(
        "memberships",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        moment("created_at", now=True),
        moment("updated_at", now=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "user_id"),
    )
    op.create_index(None, "memberships", ["user_id"])
    run(secure("memberships", visibility=MEMBERSHIP_ROWS, admin=True))
    run(secure("tenants", visibility=TENANTS_ROWS, admin=True))


def create_audit() -> None:
    """Make the audit's table; its rows can be added and read, nothing else."""
    op.create_table(
        "audit_entries",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("object_type", sa.String(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=True),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("on_behalf_of", sa.Uuid(), nullable=True),
        sa.Column("before", postgresql.JSONB(), nullable=True),
        sa.Column("after", postgresql.JSONB(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=False),
        moment("created_at", now=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("ix_audit_entries_object", "audit_entries", ["tenant_id", "object_type", "object_id"])
    run(secure("audit_entries", verbs="select, insert"))


def run(statements: Iterable[str]) -> None:
    """Run what a helper of `app.db.tenancy` yields."""
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything at once: tenants and memberships name each other, one by a key, one by a policy."""
    op.execute("drop table audit_entries, memberships, tenants, refresh_tokens, auth_sessions, credentials, users")
