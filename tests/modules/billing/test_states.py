"""The state machines: what the tables allow, and nothing else, in every state."""

import datetime as dt
import uuid
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.modules.billing.exceptions import IllegalMoveError, PaymentPendingError
from app.modules.billing.models import (
    INVOICE_MOVES,
    SUBSCRIPTION_MOVES,
    Currency,
    Interval,
    Invoice,
    InvoiceStatus,
    Line,
    Subscription,
    SubscriptionStatus,
)

NOW = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
ONE = uuid.uuid4()
SCHEDULE = [1, 3, 7]


def subscription(**fields: Any) -> Subscription:
    """Return a subscription that began now."""
    known = {"id": ONE, "customer_id": ONE, "plan_id": ONE, "discount": 0, "anchor": NOW, "due_at": NOW}
    return Subscription.model_validate({**known, "status": "active", **fields})


def invoice(**fields: Any) -> Invoice:
    """Return an invoice of one line."""
    line = Line(description="a line", quantity=1, unit_amount=100, tax_rate=0)
    return Invoice(id=ONE, customer_id=ONE, currency=Currency.EUR, lines=(line,)).but(**fields)


@pytest.mark.parametrize("status", SubscriptionStatus)
@pytest.mark.parametrize("move", sorted({move for _, move in SUBSCRIPTION_MOVES}))
def test_a_subscription_moves_as_the_table_says(status: SubscriptionStatus, move: str) -> None:
    """What the table does not name is refused, and says in which state it is."""
    target = SUBSCRIPTION_MOVES.get((status, move))
    if target is None:
        with pytest.raises(IllegalMoveError, match=f"that is {status} cannot {move}"):
            subscription(status=status).moved(move)
    else:
        moved = subscription(status=status).moved(move)
        assert moved.status == target
        assert (moved.due_at is None) == (target in {"paused", "cancelled"})


@pytest.mark.parametrize("status", InvoiceStatus)
@pytest.mark.parametrize("move", sorted({move for _, move in INVOICE_MOVES}))
def test_an_invoice_moves_as_the_table_says(status: InvoiceStatus, move: str) -> None:
    """The same of invoices."""
    target = INVOICE_MOVES.get((status, move))
    if target is None:
        with pytest.raises(IllegalMoveError, match=f"cannot {move} an invoice that is {status}"):
            invoice(status=status).moved(move)
    else:
        assert invoice(status=status).moved(move).status == target


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from(sorted({move for _, move in SUBSCRIPTION_MOVES})), max_size=30))
def test_what_is_cancelled_stays_so(moves: list[str]) -> None:
    """Whatever is tried, in any order; and nothing is billed of what rests or is over."""
    found = subscription(status="trialing")
    for move in moves:
        before = found
        try:
            found = found.moved(move)
        except IllegalMoveError:
            assert (before.status, move) not in SUBSCRIPTION_MOVES
        assert before.status != "cancelled" or found is before
        assert found.status in {"trialing", "active"} or not found.is_due(NOW)


def test_a_period_is_billed_once_and_the_31st_comes_back() -> None:
    """From the end of January over February to the end of March."""
    found = subscription()
    days = []
    for _ in range(3):
        days.append(found.period(Interval.month)[0].day)
        found = found.renewed(Interval.month)
    assert days == [31, 28, 31]
    assert (found.billed, found.due_at) == (3, NOW.replace(month=4, day=30))
    assert not found.is_due(NOW)


def test_a_rest_costs_nothing() -> None:
    """Who resumes within a paid period keeps it; who comes later begins anew."""
    paused = subscription().renewed(Interval.month).moved("pause")
    soon = paused.resumed(Interval.month, NOW + dt.timedelta(days=5))
    assert (soon.due_at, soon.anchor) == (NOW.replace(month=2, day=28), NOW)
    later = NOW + dt.timedelta(days=100)
    late = paused.resumed(Interval.month, later)
    assert (late.due_at, late.anchor, late.billed) == (later, later, 0)


def test_dunning_ends() -> None:
    """Each failure moves the next attempt on by the schedule; after the last one the invoice is written off."""
    found = invoice().issued(1, NOW, NOW)
    for days in SCHEDULE:
        found = found.attempted("pm_card_visa", NOW).failed("no money", SCHEDULE, NOW)
        assert (found.status, found.retry_at) == ("open", NOW + dt.timedelta(days=days))
    found = found.attempted("pm_card_visa", NOW).failed("no money", SCHEDULE, NOW)
    assert (found.status, found.retry_at, found.attempts) == ("uncollectible", None, 4)
    assert found.paid("a late payment", NOW).status == "paid"


def test_what_is_pending_is_not_voided_until_its_key_is_forgotten() -> None:
    """As long as the money may still come; each attempt has a key of its own."""
    found = invoice().issued(1, NOW, NOW).attempted("pm_card_visa", NOW)
    assert found.pending == f"{ONE}:1"
    with pytest.raises(PaymentPendingError):
        found.voided(NOW)
    assert found.voided(NOW + dt.timedelta(days=1)).status == "void"
    voided = found.failed("no money", SCHEDULE, NOW).voided(NOW)
    assert (voided.status, voided.failure) == ("void", None)


def test_an_invoice_over_nothing_is_paid_at_once() -> None:
    """Nobody is charged nothing."""
    free = Line(description="free", quantity=1, unit_amount=0, tax_rate=1900)
    assert invoice(lines=(free,)).issued(1, NOW, NOW).status == "paid"
