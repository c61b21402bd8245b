"""Roles, invitations, service accounts and API keys; tenants that are suspended or deleted.

Revision: 0004; after: 0003.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.db.tenancy import secure

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

CUSTOM_ROLE = "case when role in ('owner', 'admin', 'member', 'viewer') then null else role end"
STATES = ("suspended_at", "deleted_at", "purged_at")


def moment(name: str, *, nullable: bool = False, now: bool = False) -> sa.Column[object]:
    """Return a column for an aware UTC time."""
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def keys() -> list[sa.Column[object]]:
    """Return the columns of a tenant table's primary key."""
    tenant = sa.ForeignKey("tenants.id")
    return [sa.Column("tenant_id", sa.Uuid(), tenant, nullable=False), sa.Column("id", sa.Uuid(), nullable=False)]


def upgrade() -> None:
    """Make the tables and close them."""
    for name in STATES:
        op.add_column("tenants", moment(name, nullable=True))
    create_roles()
    create_invitations()
    create_keys()
    for table in ("roles", "invitations", "service_accounts", "api_keys"):
        for statement in secure(table):
            op.execute(statement)


def create_roles() -> None:
    """Make `roles`, and let a membership's role be built-in or one of them."""
    op.create_table(
        "roles",
        *keys(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False),
        moment("created_at", now=True),
        moment("updated_at", now=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name"),
    )
    op.add_column("memberships", sa.Column("custom_role", sa.String(), sa.Computed(CUSTOM_ROLE, persisted=True)))
    op.create_foreign_key(None, "memberships", "roles", ["tenant_id", "custom_role"], ["tenant_id", "name"])


def create_invitations() -> None:
    """Make `invitations`: one open one for an address."""
    op.create_table(
        "invitations",
        *keys(),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("custom_role", sa.String(), sa.Computed(CUSTOM_ROLE, persisted=True)),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("invited_by", sa.Uuid(), nullable=False),
        moment("created_at", now=True),
        moment("expires_at"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "token_hash"),
        sa.UniqueConstraint("tenant_id", "email"),
        sa.ForeignKeyConstraint(["tenant_id", "custom_role"], ["roles.tenant_id", "roles.name"]),
    )


def create_keys() -> None:
    """Make `service_accounts` and `api_keys`."""
    op.create_table(
        "service_accounts",
        *keys(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        moment("created_at", now=True),
        moment("updated_at", now=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name"),
    )
    op.create_table(
        "api_keys",
        *keys(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("service_account_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("permissions", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=True),
        moment("previous_until", nullable=True),
        moment("expires_at"),
        moment("last_used_at", nullable=True),
        moment("revoked_at", nullable=True),
        moment("created_at", now=True),
        moment("updated_at", now=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "key_hash"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "service_account_id"],
            ["service_accounts.tenant_id", "service_accounts.id"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_api_keys_previous_hash", "api_keys", ["tenant_id", "previous_hash"])


def downgrade() -> None:
    """Drop what was made; whoever had a role of the tenant's own then has one that permits nothing."""
    op.drop_constraint("fk_memberships_tenant_id_custom_role", "memberships")
    op.drop_column("memberships", "custom_role")
    for table in ("api_keys", "service_accounts", "invitations", "roles"):
        op.drop_table(table)
    for name in STATES:
        op.drop_column("tenants", name)
