"""What stood in the audit before there was a chain."""

import asyncio

from alembic import command
from alembic.script import ScriptDirectory

from app.db import migrations
from tests.audit.house import House

OLD = """
    insert into audit_entries (tenant_id, id, action, object_type, outcome, request_id)
    values (:tenant, gen_random_uuid(), 'thing.done', 'thing', 'success', '') returning id
"""
REVISION = "0011"


async def test_what_stood_before_is_chained_without_a_digest(house: House) -> None:
    """The migration puts every older entry into the queue, of all tenants; what comes later follows it."""
    config = migrations.configuration()
    config.attributes["url"] = house.cluster.url("app_migrator", house.database)
    before = ScriptDirectory.from_config(config).get_revision(REVISION).down_revision
    await asyncio.to_thread(command.downgrade, config, str(before))
    tenants = [await house.tenant() for _ in range(2)]
    old = [(await house.sql(OLD, tenant=tenant))[0].id for tenant in tenants]
    await asyncio.to_thread(command.upgrade, config, "head")
    await house.sequencer.run_once()
    for tenant in tenants:
        await house.write(tenant)
    await house.sequencer.run_once()
    assert [link.entry_digest == "" for tenant in tenants for link in await house.chained(tenant)] == [True, False] * 2
    assert (await house.verify()).entries == 4
    await house.sql("delete from audit_entries where id = :id returning 1", id=old[1])
    assert f"entry {old[1]} was deleted" in await house.fault()
