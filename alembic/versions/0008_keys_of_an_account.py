"""From when on the keys of a person count.

Revision: 0008; after: 0007.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import roles

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, which the application writes."""
    op.add_column("users", sa.Column("keys_valid_from", sa.DateTime(timezone=True), nullable=True))
    op.execute(f"grant insert (keys_valid_from), update (keys_valid_from) on users to {roles().rw}, {roles().worker}")


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("users", "keys_valid_from")
