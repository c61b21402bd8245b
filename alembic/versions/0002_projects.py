"""Projects.

Revision: 0002; after: 0001.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and close it."""
    op.create_table(
        "projects",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    living = sa.text("deleted_at is null")
    op.create_index("uq_projects_name", "projects", ["tenant_id", "name"], unique=True, postgresql_where=living)
    op.create_index("ix_projects_created_at", "projects", ["tenant_id", "created_at", "id"])
    for statement in secure("projects"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("projects")
