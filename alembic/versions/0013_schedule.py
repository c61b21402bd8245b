"""The schedule: when each periodic task is due next. And one index less on the outbox.

Revision: 0013; after: 0012.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and close it; drop an index that row security keeps from ever being used."""
    op.create_table(
        "schedule_entries",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "name"),
    )
    for statement in secure("schedule_entries"):
        op.execute(statement)
    op.drop_index("ix_outbox_entries_parents", "outbox_entries")


def downgrade() -> None:
    """Undo both."""
    op.create_index("ix_outbox_entries_parents", "outbox_entries", ["depends_on"], postgresql_using="gin")
    op.drop_table("schedule_entries")
