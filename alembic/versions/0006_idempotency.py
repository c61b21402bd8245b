"""Answers kept for requests with an Idempotency-Key.

Revision: 0006; after: 0005.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.db.tenancy import ACTOR_ROWS, secure

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and close it."""
    op.create_table(
        "idempotency_keys",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("key_hash", "generation"),
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["tenant_id", "created_at"])
    for statement in secure("idempotency_keys", visibility=ACTOR_ROWS):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("idempotency_keys")
