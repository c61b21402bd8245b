"""What sessions say of themselves, verified addresses, and links in mails.

Revision: 0005; after: 0004.
"""

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import share

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NOW = sa.text("now()")
LINK = "id, user_id, purpose, token_hash, email, created_at, expires_at"


def upgrade() -> None:
    """Add the columns and the table, with what the application may write of them."""
    op.add_column("users", sa.Column("email_verified_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column(
        "auth_sessions",
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
    )
    op.add_column("auth_sessions", sa.Column("user_agent", sa.String(), server_default="", nullable=False))
    op.add_column("auth_sessions", sa.Column("address", sa.String(), server_default="", nullable=False))
    op.create_table(
        "auth_links",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.UniqueConstraint("token_hash"),
    )
    op.create_index(None, "auth_links", ["user_id"])
    for statement in (
        *share("users", insert="email_verified_at", update="email_verified_at"),
        *share("auth_sessions", insert="last_used_at, user_agent, address", update="last_used_at"),
        *share("auth_links", insert=f"{LINK}, used_at", update="used_at"),
    ):
        op.execute(statement)


def downgrade() -> None:
    """Drop the table and the columns."""
    op.drop_table("auth_links")
    for column in ("address", "user_agent", "last_used_at"):
        op.drop_column("auth_sessions", column)
    op.drop_column("users", "email_verified_at")
