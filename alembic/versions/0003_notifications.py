"""Notices in the app.

Revision: 0003; after: 0002.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and close it."""
    op.create_table(
        "notifications",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("object_id", sa.Uuid(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    op.create_index("ix_notifications_user", "notifications", ["tenant_id", "user_id", "created_at", "id"])
    for statement in secure("notifications"):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("notifications")
