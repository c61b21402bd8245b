"""What each file was charged of its tenant's quota.

Revision: 0016; after: 0015.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. Rows without a value were charged their size, by code that may still run meanwhile."""
    op.add_column("files", sa.Column("charged", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Drop the column; what a small file was charged beyond its size stays charged."""
    op.drop_column("files", "charged")
