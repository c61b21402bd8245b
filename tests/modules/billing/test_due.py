"""What is due is found without a look at every invoice that a tenant ever had."""

from typing import Any

from sqlalchemy import event

from app.modules.billing.services import CalendarService
from tests.modules.billing.support import Office

PAID = """
    insert into billing_invoices
        (tenant_id, id, customer_id, currency, net, tax, status, number, issued_at, attempts, attempted_at)
    select :tenant, gen_random_uuid(), :customer, 'EUR', 1, 0, 'paid', n, now(), 1, now() - interval '1 minute' * n
    from generate_series(1, 5000) n
    returning 1
"""


async def test_due_invoices_are_found_by_indexes(office: Office) -> None:
    """Those whose time has come by one, and attempts that were left under way by another."""
    customer_id = await office.customer(None)
    await office.cluster.rows(office.database, PAID, tenant=office.owner.tenant_id, customer=customer_id)
    await office.cluster.run("analyze billing_invoices", office.database)
    engine, asked = office.work.sessions.kw["bind"], list[tuple[str, Any]]()

    def note(_: object, __: object, statement: str, parameters: Any, *___: object) -> None:
        asked.append((statement, parameters))

    event.listen(engine.sync_engine, "before_cursor_execute", note)
    try:
        async with office.work.begin(tenant_id=office.owner.tenant_id, read_only=True) as ctx:
            await CalendarService(ctx).due()
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", note)
    [(statement, parameters)] = [one for one in asked if "FROM billing_invoices" in one[0]]
    async with engine.connect() as connection:
        await connection.exec_driver_sql("select set_config('app.tenant_id', $1, true)", (str(office.owner.tenant_id),))
        lines = await connection.exec_driver_sql(f"explain {statement}", parameters)
        plan = "\n".join(lines.scalars())
    for index in ("retry_at", "pending"):
        assert f"Bitmap Index Scan on ix_billing_invoices_{index}" in plan
