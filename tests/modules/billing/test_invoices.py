"""Invoices: their sums, their numbers without a gap, and that nothing issued changes."""

import asyncio
import uuid
from collections import Counter

import pytest
from anyio import fail_after
from httpx2 import Response
from sqlalchemy import Executable, delete, insert, update

from app.exceptions import UnprocessableError
from app.modules.billing.orm import InvoiceRow, LineRow
from app.modules.billing.repository import LedgerRepository
from app.tenants.services import RetentionService
from tests.modules.billing.support import Office

ROUND = 20


async def test_an_invoice_by_hand(office: Office) -> None:
    """A draft has sums and no number; finalised it has one, and is not written again."""
    customer_id = await office.customer(None)
    lines = [
        {"description": "Work", "quantity": 3, "unit_amount": 3333, "tax_rate": 1900},
        {"description": "A book", "unit_amount": 1, "tax_rate": 700},
    ]
    body = {"customer_id": customer_id, "currency": "EUR", "lines": lines, "discount": 1000}
    draft = await office.post("/invoices", 201, **body)
    assert (draft["status"], draft["number"]) == ("draft", None)
    assert (draft["net"], draft["tax"], draft["total"]) == (9000, 1710, 10710)
    assert [line["discount"] for line in draft["lines"]] == [1000, 0]
    issued = await office.post(f"/invoices/{draft['id']}/finalise")
    assert (issued["status"], issued["number"], issued["total"]) == ("open", 1, 10710)
    again = await office.post(f"/invoices/{draft['id']}/finalise", 409)
    assert (again["code"], again["detail"]) == ("illegal_move", "You cannot finalise an invoice that is open.")


async def test_who_is_exempt_pays_no_tax(office: Office) -> None:
    """Whatever the line says."""
    invoice = await office.get(f"/invoices/{await office.draft(tax_exempt=True)}")
    assert (invoice["net"], invoice["tax"]) == (1000, 0)


async def test_numbers_have_no_gap_though_twenty_come_at_once(office: Office) -> None:
    """Every second one is finalised twice at once: the loser's number is taken by the next."""
    drafts = [await office.draft() for _ in range(ROUND)]
    twice = [*drafts, *drafts[::2]]
    answers = await asyncio.gather(*(finalised(office, one) for one in twice))
    assert Counter(answer.status_code for answer in answers) == {200: ROUND, 409: ROUND // 2}
    numbers = sorted(answer.json()["number"] for answer in answers if answer.is_success)
    assert numbers == list(range(1, ROUND + 1))


async def test_a_rollback_leaves_no_gap(office: Office) -> None:
    """A number that was taken and not committed is the next one's."""

    async def numbered(*, rolled_back: bool) -> int:
        async with office.work.begin(tenant_id=office.owner.tenant_id) as ctx:
            ctx.quiet("only the number counts here")
            found = await LedgerRepository(ctx).next_number()
            if rolled_back:
                raise KeyError(found)
            return found

    assert await numbered(rolled_back=False) == 1
    with pytest.raises(KeyError, match="2"):
        await numbered(rolled_back=True)
    assert await numbered(rolled_back=False) == 2


@pytest.mark.parametrize(
    "statement",
    [
        update(InvoiceRow).values(net=1),
        update(InvoiceRow).values(status="draft"),
        delete(InvoiceRow),
        update(LineRow).values(description="something else"),
        delete(LineRow),
    ],
)
async def test_the_database_keeps_what_was_issued(office: Office, statement: Executable) -> None:
    """Whoever writes SQL in the tenant's own transaction, on purpose or by mistake."""
    await office.post(f"/invoices/{await office.draft()}/finalise")
    with pytest.raises(UnprocessableError):
        await office.execute(statement)


async def test_no_line_is_added_to_what_was_issued(office: Office) -> None:
    """Else its sums would not be those of its lines."""
    invoice_id = await office.draft()
    await office.post(f"/invoices/{invoice_id}/finalise")
    line = {"place": 2, "description": "more", "quantity": 1, "unit_amount": 1, "tax_rate": 0, "discount": 0, "tax": 0}
    keys = {"tenant_id": office.owner.tenant_id, "id": uuid.uuid4(), "invoice_id": uuid.UUID(invoice_id)}
    with pytest.raises(UnprocessableError):
        await office.execute(insert(LineRow), [{**keys, **line}])


async def test_what_was_issued_goes_with_its_tenant(office: Office) -> None:
    """A deleted tenant's time of grace ends: then nothing in the database keeps its invoices."""
    await office.post(f"/invoices/{await office.draft()}/finalise")
    gone = "update tenants set deleted_at = now() - interval '1 year' where id = :tenant returning 1"
    await office.cluster.rows(office.database, gone, tenant=office.owner.tenant_id)
    async with office.work.begin() as ctx:
        assert office.owner.tenant_id in await RetentionService(ctx).purge()
    left = "select count(*) from billing_invoices where tenant_id = :tenant"
    assert await office.cluster.rows(office.database, left, tenant=office.owner.tenant_id) == [(0,)]


async def test_a_payment_by_transfer(office: Office) -> None:
    """It is noted by hand, once; what is paid is not voided."""
    invoice_id = await office.draft()
    await office.post(f"/invoices/{invoice_id}/finalise")
    paid = await office.post(f"/invoices/{invoice_id}/payments", reference="statement 7")
    assert (paid["status"], paid["payment"]) == ("paid", "statement 7")
    assert (await office.post(f"/invoices/{invoice_id}/payments", 409, reference="again"))["code"] == "illegal_move"
    assert (await office.post(f"/invoices/{invoice_id}/void", 409))["code"] == "illegal_move"


async def test_a_voided_invoice_keeps_its_number(office: Office) -> None:
    """The next one is not numbered like it."""
    first, second = await office.draft(), await office.draft()
    await office.post(f"/invoices/{first}/finalise")
    assert (await office.post(f"/invoices/{first}/void"))["number"] == 1
    assert (await office.post(f"/invoices/{second}/finalise"))["number"] == 2


async def finalised(office: Office, invoice_id: str) -> Response:
    """Return the answer to who comes again while the database is busy, as 503 says."""
    with fail_after(60):
        while True:
            answer = await office.owner.call("POST", f"/billing/invoices/{invoice_id}/finalise")
            if answer.status_code != 503:
                return answer
