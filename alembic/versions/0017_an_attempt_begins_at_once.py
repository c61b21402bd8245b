"""An attempt begins in one round trip.

Revision: 0017; after: 0016.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

# It has the rights of its caller, whom the policies bind: the tenant is entered before any row is looked for. A dead
# entry starts when somebody requeued its job in the broker. Nobody waits for the disk: a start that a crash of the
# database forgets leaves the entry where it was, and no effect of it can be kept without it.
START = """
    create function start_outbox_entry(tenant uuid, entry uuid, lease interval) returns setof outbox_entries
    language plpgsql set lock_timeout = '2s' as $$
    begin
        perform set_config('app.tenant_id', tenant::text, true), set_config('synchronous_commit', 'off', true);
        return query update outbox_entries e set
            status = 'started', attempts = e.attempts + 1, started_at = now(), lease_until = now() + lease,
            finished_at = null
        where e.tenant_id = tenant and e.id = entry
            and (e.status in ('queued', 'sent', 'dead') or e.status = 'started' and e.lease_until < now())
        returning *;
    end $$
"""


def upgrade() -> None:
    """Create the function."""
    op.execute(START)


def downgrade() -> None:
    """Drop it: code before it has a statement of its own."""
    op.execute("drop function start_outbox_entry(uuid, uuid, interval)")
