"""The arithmetic of billing: whole minor units, basis points, and periods of the calendar. Nothing here is a float."""

import calendar
import datetime as dt
from collections.abc import Sequence

WHOLE = 10_000
"""Basis points in one."""

MONTHS_A_YEAR = 12


def share(amount: int, basis_points: int) -> int:
    """Return so many basis points of an amount that is not negative, in whole minor units, halves up."""
    return (2 * amount * basis_points + WHOLE) // (2 * WHOLE)


def allocate(total: int, weights: Sequence[int]) -> list[int]:
    """Split a total in proportion to weights so that the parts add up to it, by largest remainder; ties to the first.

    No part is further than one unit from its exact share. Raises ValueError for a total that nobody can bear, and for
    what is negative.
    """
    whole = sum(weights)
    if total < 0 or any(weight < 0 for weight in weights) or (total and not whole):
        raise ValueError(f"cannot split {total} by {weights}")
    if not total:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda place: -(total * weights[place] % whole))
    for place in by_remainder[: total - sum(parts)]:
        parts[place] += 1
    return parts


def boundary(anchor: dt.datetime, months: int) -> dt.datetime:
    """Return the moment so many months after an anchor, on its day, or on the last of a month that has no such day.

    It counts from the anchor, not from the boundary before: the 31st comes back after February.
    """
    month = anchor.month - 1 + months
    year, month = anchor.year + month // MONTHS_A_YEAR, month % MONTHS_A_YEAR + 1
    return anchor.replace(year=year, month=month, day=min(anchor.day, calendar.monthrange(year, month)[1]))
