"""Attempts to collect that were left under way are found without a look at each invoice of the tenant.

Revision: 0019; after: 0018.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

INDEX, TABLE = "ix_billing_invoices_pending", "billing_invoices"


def upgrade() -> None:
    """Add the index, of the few that are pending."""
    pending = sa.text("pending is not null")
    op.create_index(INDEX, TABLE, ["tenant_id", "attempted_at"], postgresql_where=pending)


def downgrade() -> None:
    """Drop it."""
    op.drop_index(INDEX, TABLE)
