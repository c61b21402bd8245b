"""Money: whatever is split or taxed, not a minor unit is lost or made. Properties, over what hypothesis thinks of."""

import datetime as dt
from collections.abc import Sequence
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
    """The tax of each rate is that of the sum of its lines, the discount that of the whole; lines keep their places."""
    found = priced(lines, discount)
    assert [line.but(discount=0, tax=0) for line in found] == lines
    assert sum(line.discount for line in found) == share(sum(line.gross for line in lines), discount)
    for rate in {line.tax_rate for line in lines}:
        same = [line for line in found if line.tax_rate == rate]
        assert sum(line.tax for line in same) == share(sum(line.net for line in same), rate)
    for line in found:
        assert 0 <= line.discount <= line.gross
        assert abs(line.discount - Fraction(line.gross * discount, WHOLE)) < Fraction(5, 2)
        assert abs(line.tax - Fraction(line.net * line.tax_rate, WHOLE)) <= Fraction(3, 2)


def line_at(rate: int, amount: int, quantity: int = 1) -> Line:
    """Return a line at this rate of tax."""
    return Line(description="a line", quantity=quantity, unit_amount=amount, tax_rate=rate)


def sums(lines: Sequence[Line]) -> dict[int, tuple[int, int]]:
    """Return what is left of each rate after discount, and its tax."""
    found = {rate: [line for line in lines if line.tax_rate == rate] for rate in {line.tax_rate for line in lines}}
    return {rate: (sum(line.net for line in same), sum(line.tax for line in same)) for rate, same in found.items()}


@PLENTY
@given(LINES, POINTS, st.randoms())
def test_the_order_of_lines_changes_no_sum(lines: list[Line], discount: int, chance: Random) -> None:
    """Nor does splitting a line into its pieces, whatever the discount: of no rate, and so not of the invoice."""
    cuts = [(line, chance.randrange(line.quantity)) for line in lines]
    pieces = [line.but(quantity=part) for line, cut in cuts for part in (cut, line.quantity - cut) if part]
    chance.shuffle(pieces)
    expected = sums(priced(lines, discount))
    for same in (pieces, lines[::-1]):
        assert sums(priced(same, discount)) == expected


@pytest.mark.parametrize(
    ("lines", "discount", "expected"),
    [
        ([line_at(1900, 3), line_at(700, 3)], 1000, {700: (2, 0), 1900: (3, 1)}),
        (
            [line_at(1900, 257, 6), line_at(700, 269, 12), line_at(1900, 758, 6)],
            1250,
            {700: (2824, 198), 1900: (5329, 1013)},
        ),
        ([line_at(1900, 999), line_at(700, 1)], WHOLE, {1900: (0, 0), 700: (0, 0)}),
        ([line_at(1900, 0)], 500, {1900: (0, 0)}),
        ([], 500, {}),
    ],
    ids=["the lowest of equal rates", "two lines of a rate", "all of it", "nothing charged", "no line"],
)
def test_what_a_discount_leaves_of_each_rate(
    lines: list[Line], discount: int, expected: dict[int, tuple[int, int]]
) -> None:
    """Where rates are charged the same and a unit is left over, the lowest has it."""
    assert sums(priced(lines, discount)) == expected


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
