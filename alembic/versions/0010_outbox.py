"""The outbox: deliveries and tasks that wait for their turn.

Revision: 0010; after: 0009.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from app.db.tenancy import Relayed, secure

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLE = "outbox_entries"
RELAYED = Relayed(
    read=(
        "tenant_id", "id", "kind", "name", "queue", "status", "attempts", "max_attempts", "dispatches", "due_at",
        "lease_until", "created_at", "finished_at",
    ),
    write=("status", "dispatches", "due_at", "lease_until", "finished_at", "error"),
    delete=True,
)  # fmt: skip
INDEXES = {
    "ix_outbox_entries_queued": (["queue", "tenant_id", "due_at"], "status = 'queued'"),
    "ix_outbox_entries_leased": (["queue", "tenant_id", "status"], "status in ('sent', 'started')"),
    "ix_outbox_entries_over": (["finished_at"], "status in ('finished', 'discarded')"),
    "ix_outbox_entries_event": (["tenant_id", "event_id"], "event_id is not null"),
    "ix_outbox_entries_status": (["tenant_id", "status", "created_at", "id"], None),
}
STATES = ("deferred", "queued", "sent", "started", "finished", "dead", "discarded")
WAITING = "status in ('deferred', 'queued', 'sent', 'started')"


def moment(name: str, *, default: bool = False) -> "sa.Column[object]":
    """Return a column for an aware moment."""
    now = sa.text("now()") if default else None
    return sa.Column(name, sa.DateTime(timezone=True), server_default=now, nullable=not default)


def upgrade() -> None:
    """Make the table and close it; the relay sees every row, and no payload."""
    op.create_table(
        TABLE,
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("kind", "name", "queue", "status")),
        sa.Column("event_id", sa.Uuid(), nullable=True),
        sa.Column("action", sa.String(), nullable=True),
        sa.Column("version", sa.SmallInteger(), nullable=False),
        sa.Column("payload", postgresql.JSONB(), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("on_behalf_of", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("unique_key", sa.String(), nullable=True),
        sa.Column("depends_on", postgresql.ARRAY(sa.Uuid()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("max_attempts", sa.SmallInteger(), nullable=False),
        sa.Column("dispatches", sa.Integer(), nullable=False),
        moment("due_at", default=True),
        moment("lease_until"),
        sa.Column("progress", postgresql.JSONB(), nullable=True),
        sa.Column("result", postgresql.JSONB(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        moment("created_at", default=True),
        moment("started_at"),
        moment("finished_at"),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.CheckConstraint("kind in ('delivery', 'task', 'refused')", name="kind"),
        sa.CheckConstraint(f"status in ({', '.join(map(repr, STATES))})", name="status"),
    )
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, TABLE, columns, postgresql_where=sa.text(where) if where else None)
    op.create_index("ix_outbox_entries_parents", TABLE, ["depends_on"], postgresql_using="gin")
    op.create_index(
        "uq_outbox_entries_unique_key",
        TABLE,
        ["tenant_id", "name", "unique_key"],
        unique=True,
        postgresql_where=sa.text(f"unique_key is not null and {WAITING}"),
    )
    # Rows of this table change often: room in each page lets PostgreSQL change them in place.
    op.execute(f"alter table {TABLE} set (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)")
    for statement in [*secure(TABLE), *RELAYED.statements(TABLE)]:
        op.execute(statement)


def downgrade() -> None:
    """Drop the table."""
    op.drop_table(TABLE)
