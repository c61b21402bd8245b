"""Files that are attached to projects; apart from the files, which a project without this module has, too.

Revision: 0014a; after: 0014.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0014a"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and close it."""
    op.create_table(
        "project_attachments",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("file_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "project_id", "file_id", name="uq_project_attachments_file"),
        sa.ForeignKeyConstraint(["tenant_id", "project_id"], ["projects.tenant_id", "projects.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["tenant_id", "file_id"], ["files.tenant_id", "files.id"], ondelete="CASCADE"),
    )
    op.create_index("ix_project_attachments_file", "project_attachments", ["tenant_id", "file_id"])
    for statement in secure("project_attachments"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("project_attachments")
