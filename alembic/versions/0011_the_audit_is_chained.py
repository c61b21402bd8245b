"""The audit keeps addresses and digests, and is chained.

Revision: 0011; after: 0010.
"""

from collections.abc import Iterable

import sqlalchemy as sa
from alembic import op

from app.db.tenancy import Relayed, owner_policies, roles, secure

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

LINK = ("tenant_id", "id", "seq", "entry_digest", "digest", "chained_at")

QUEUE = """
    create function queue_audit_entry() returns trigger language plpgsql security definer
    set search_path = pg_catalog, pg_temp as $$
    begin
        insert into public.audit_unchained (tenant_id, id, digest) values (new.tenant_id, new.id, new.digest);
        return null;
    end $$
"""
TRIGGER = """
    create trigger queue_audit_entry after insert on audit_entries for each row execute function queue_audit_entry()
"""
OLDER = "insert into audit_unchained (tenant_id, id, digest) select tenant_id, id, digest from audit_entries"


def upgrade() -> None:
    """Add the columns, the chain, and the queue that leads to it; what stands already is chained without a digest.

    Row security is forced on the owner, too, who is to read the entries of all tenants this once.
    """
    op.add_column("audit_entries", sa.Column("address", sa.String(), server_default="", nullable=False))
    op.add_column("audit_entries", sa.Column("digest", sa.String(), server_default="", nullable=False))
    create_chain()
    create_queue()
    op.execute("alter table audit_entries no force row level security")
    op.execute(OLDER)
    op.execute("alter table audit_entries force row level security")
    op.execute(owner_policies("audit_entries", ["insert"])[0].statement())
    run(Relayed(read=("id",)).statements("tenants"))


def create_chain() -> None:
    """Make the table of links: the application reads it, the relay alone adds to it."""
    op.create_table(
        "audit_chain",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("entry_digest", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("chained_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
        sa.UniqueConstraint("tenant_id", "seq"),
    )
    run(secure("audit_chain", verbs="select"))
    run(Relayed(read=LINK, insert=LINK).statements("audit_chain"))


def create_queue() -> None:
    """Make the queue, out of the application's reach, and what fills it with the rights of the owner."""
    op.create_table(
        "audit_unchained",
        sa.Column("tenant_id", sa.Uuid(), sa.ForeignKey("tenants.id"), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id"),
    )
    run(secure("audit_unchained", verbs=""))
    run(Relayed(read=("tenant_id", "id", "digest"), delete=True).statements("audit_unchained"))
    op.execute(owner_policies("audit_unchained", ["insert"])[0].statement())
    op.execute(QUEUE)
    op.execute("revoke all on function queue_audit_entry() from public")
    op.execute(TRIGGER)


def run(statements: Iterable[str]) -> None:
    """Run what a helper of `app.db.tenancy` yields."""
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    """Take everything back."""
    op.execute("drop policy tenants_relay_select on tenants")
    op.execute(f"revoke select (id) on tenants from {roles().relay}")  # noqa: S608 - the name of a role
    op.execute("drop policy audit_entries_owner_insert on audit_entries")
    op.execute("drop trigger queue_audit_entry on audit_entries")
    op.execute("drop function queue_audit_entry()")
    op.execute("drop table audit_chain, audit_unchained")
    op.drop_column("audit_entries", "digest")
    op.drop_column("audit_entries", "address")
