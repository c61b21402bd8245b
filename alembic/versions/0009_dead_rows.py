"""Sessions, refresh tokens and links that are over may be removed.

Revision: 0009; after: 0008.
"""

from alembic import op

from app.db.tenancy import roles

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = "auth_sessions, refresh_tokens, auth_links"


def upgrade() -> None:
    """Let the application delete from these tables."""
    op.execute(f"grant delete on {TABLES} to {roles().rw}, {roles().worker}")


def downgrade() -> None:
    """Take the right back."""
    op.execute(f"revoke delete on {TABLES} from {roles().rw}, {roles().worker}")
