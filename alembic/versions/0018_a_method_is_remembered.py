"""A customer's payment methods are remembered with whom the provider made of each, and an attempt's with the invoice.

Revision: 0018; after: 0017.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what they are empty of, the provider is asked for as before."""
    op.add_column("billing_customers", sa.Column("enrolled", JSONB(), server_default="{}", nullable=False))
    op.add_column("billing_invoices", sa.Column("payment_method", sa.String(), nullable=True))


def downgrade() -> None:
    """Drop them."""
    op.drop_column("billing_invoices", "payment_method")
    op.drop_column("billing_customers", "enrolled")
