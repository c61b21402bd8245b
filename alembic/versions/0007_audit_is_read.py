"""An index by which the audit is read.

Revision: 0007; after: 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index; concurrent writers wait for it, and a large audit takes a while."""
    op.create_index("ix_audit_entries_created_at", "audit_entries", ["tenant_id", "created_at", "id"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_audit_entries_created_at", "audit_entries")
