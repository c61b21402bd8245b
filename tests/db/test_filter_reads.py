"""The filter alone narrows every shape of SELECT, with both tenants' rows really there."""

import pytest

from tests.db.pair import Pair
from tests.db.shapes import SHAPES


@pytest.mark.filterwarnings("ignore:SELECT statement has a cartesian product")  # is how a second table gets in
@pytest.mark.parametrize("shape", SHAPES)
async def test_a_read_finds_what_it_would_find_if_the_tenant_were_alone(pair: Pair, shape: str) -> None:
    """Another tenant's rows change nothing, whatever the statement looks like; unscoped, they would."""
    narrowed = await pair.narrowed(SHAPES[shape]())
    assert narrowed == await pair.expected(SHAPES[shape]())
    assert narrowed != await pair.unscoped(SHAPES[shape]())
