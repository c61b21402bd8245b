"""How each member wants to be told.

Revision: 0012; after: 0011.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import secure

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = "notification_preferences"


def upgrade() -> None:
    """Make the table and close it."""
    op.create_table(
        TABLE,
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("in_app", sa.Boolean(), server_default="true", nullable=False),
        sa.Column("email", sa.Boolean(), server_default="false", nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "user_id"),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["memberships.tenant_id", "memberships.user_id"], ondelete="CASCADE"
        ),
    )
    for statement in secure(TABLE):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table(TABLE)
