"""Files, and how much room they take.

Revision: 0014; after: 0013.
"""

import uuid

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = ("files", "file_usage")


def upgrade() -> None:
    """Make the tables and close them."""
    op.create_table(
        "files",
        *keys(),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("content_type", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("ix_files_created_at", "files", ["tenant_id", "purpose", "created_at", "id"])
    due = sa.text("status = 'pending' or expires_at is not null")
    op.create_index("ix_files_due", "files", ["tenant_id"], postgresql_where=due)
    op.create_table(
        "file_usage",
        *keys(),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    for table in TABLES:
        for statement in secure(table):
            op.execute(statement)


def keys() -> tuple[sa.Column[uuid.UUID], sa.Column[uuid.UUID]]:
    """Return the two columns of a tenant table's key."""
    tenant: sa.Column[uuid.UUID] = sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False)
    return tenant, sa.Column("id", sa.Uuid(), nullable=False)


def downgrade() -> None:
    """Drop the tables; the objects in the store stay."""
    for table in reversed(TABLES):
        op.drop_table(table)
