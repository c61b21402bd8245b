"""What people of two tenants would try, with each line alone as with both."""

from collections.abc import AsyncIterator, Callable

import pytest

from tests.isolation import scenarios
from tests.isolation.lanes import Lane
from tests.isolation.scenarios import Neighbours, settle

Scenario = Callable[[Neighbours], AsyncIterator[str]]

BY_THE_LINES = [scenarios.objects, scenarios.lists, scenarios.notices, scenarios.places, scenarios.kept_answers]
"""What the filter and the policies keep apart."""

BY_THE_GATE = [scenarios.headers, scenarios.rights, scenarios.names]
"""What is kept apart besides: by the caller's place, by keys that begin with the tenant, by what a cursor holds."""


def name_of(scenario: Scenario) -> str:
    """Return what a scenario is called."""
    return scenario.__name__


@pytest.mark.parametrize("scenario", [*BY_THE_LINES, *BY_THE_GATE], ids=name_of)
async def test_nothing_comes_across(scenario: Scenario, lane: Lane) -> None:
    """Two tenants and a person in both: each sees and changes what is the tenant's own."""
    assert [leak async for leak in scenario(await settle(lane))] == []


@pytest.mark.parametrize("scenario", BY_THE_LINES, ids=name_of)
async def test_without_both_lines_the_same_scenario_finds_a_leak(scenario: Scenario, control: Lane) -> None:
    """The scenarios can fail: with neither line, the very same steps find something."""
    assert [leak async for leak in scenario(await settle(control))] != []
