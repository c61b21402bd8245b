"""Money: whatever is split or taxed, not a minor unit is lost or made. Properties, over what hypothesis thinks of."""

import datetime as dt
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.modules.billing.builders import priced
from app.modules.billing.models import Currency, Interval, Line, Money
from app.modules.billing.utils import WHOLE, allocate, boundary, share

PLENTY = settings(deadline=None, max_examples=60)
"""A busy machine is no fault."""

AMOUNTS = st.integers(0, 10**15)
POINTS = st.integers(0, WHOLE)
LINES = st.lists(
    st.builds(
        Line,
        description=st.just("a line"),
        quantity=st.integers(1, 1000),
        unit_amount=st.integers(0, 10**10),
        tax_rate=st.sampled_from([0, 1, 550, 700, 1900, 2000, WHOLE]),
    ),
    min_size=1,
    max_size=8,
)
MOMENTS = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 12, 31), timezones=st.just(dt.UTC))  # noqa: DTZ001


@PLENTY
@given(AMOUNTS, POINTS)
def test_a_share_is_the_nearest_whole_unit_and_a_half_goes_up(amount: int, points: int) -> None:
    """Of two equally near ones the larger."""
    exact = Fraction(amount * points, WHOLE)
    assert -Fraction(1, 2) < share(amount, points) - exact <= Fraction(1, 2)


@PLENTY
@given(AMOUNTS, st.lists(AMOUNTS, min_size=1, max_size=12).filter(any))
def test_parts_add_up_to_the_total(total: int, weights: list[int]) -> None:
    """Each is within one unit of its exact share, and who weighs nothing bears nothing."""
    parts = allocate(total, weights)
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(total * weight, sum(weights))) < 1
        assert weight or not part


@PLENTY
@given(st.lists(AMOUNTS, min_size=1).filter(any), POINTS)
def test_no_part_of_what_is_smaller_than_the_whole_exceeds_its_weight(weights: list[int], points: int) -> None:
    """A discount never makes a line negative."""
    parts = allocate(share(sum(weights), points), weights)
    assert all(0 <= part <= weight for part, weight in zip(parts, weights, strict=True))


@pytest.mark.parametrize(("total", "weights"), [(-1, [1]), (1, [0, 0]), (1, [2, -1]), (1, [])])
def test_what_cannot_be_split_is_refused(total: int, weights: list[int]) -> None:
    """Nothing negative, and nothing for nobody to bear."""
    with pytest.raises(ValueError, match="cannot split"):
        allocate(total, weights)


@PLENTY
@given(LINES, POINTS)
def test_an_invoice_is_the_sum_of_its_lines(lines: list[Line], discount: int) -> None:
    """The tax of each rate is that of the sum of its lines, and the discount that of the whole."""
    found = priced(lines, discount)
    assert sum(line.discount for line in found) == share(sum(line.gross for line in lines), discount)
    for rate in {line.tax_rate for line in lines}:
        same = [line for line in found if line.tax_rate == rate]
        assert sum(line.tax for line in same) == share(sum(line.net for line in same), rate)
    for line in found:
        assert 0 <= line.discount <= line.gross
        assert abs(line.tax - Fraction(line.net * line.tax_rate, WHOLE)) <= Fraction(3, 2)


@PLENTY
@given(LINES, st.randoms())
def test_the_order_of_lines_changes_no_sum(lines: list[Line], chance: Random) -> None:
    """Neither does splitting a line into its pieces."""
    pieces = [line.but(quantity=quantity) for line in lines for quantity in (1, line.quantity - 1) if quantity]
    chance.shuffle(pieces)
    assert sum(line.tax for line in priced(pieces, 0)) == sum(line.tax for line in priced(lines, 0))


@PLENTY
@given(MOMENTS, st.sampled_from(Interval), st.integers(0, 240))
def test_periods_follow_each_other_on_the_anchor_s_day(anchor: dt.datetime, interval: Interval, count: int) -> None:
    """None overlaps, none is left out, and the day only gives way to the end of a shorter month."""
    start = boundary(anchor, count * interval.months)
    end = boundary(anchor, (count + 1) * interval.months)
    assert start < end
    assert boundary(anchor, 0) == anchor
    assert end.day == anchor.day or (end.day < anchor.day and (end + dt.timedelta(days=1)).day == 1)
    assert (end.year - start.year) * 12 + end.month - start.month == interval.months


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [(5, "EUR", "0.05 EUR"), (123456, "EUR", "1234.56 EUR"), (0, "USD", "0.00 USD"), (500, "JPY", "500 JPY")],
)
def test_money_is_shown_with_the_decimals_of_its_currency(amount: int, currency: str, shown: str) -> None:
    """As ISO 4217 counts them."""
    assert str(Money(amount=amount, currency=Currency(currency))) == shown
