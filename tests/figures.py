"""Figures that tests print: how much was tried and searched, also when all is well.

A test asks for the fixture `figure` and calls it with one line of text; all lines stand at the end of the run.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

Figure = Callable[[str], None]

PROPERTY = "figure"
"""Under this name a line travels with the report of its test, from whichever worker ran it."""


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Figure:
    """Return what notes one line to be printed."""
    return partial(record_property, PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures in the order of the tests' names."""
    lines = sorted(figures(terminalreporter))
    if lines:
        terminalreporter.section("figures")
    for line in lines:
        terminalreporter.line(line)


def figures(terminalreporter: pytest.TerminalReporter) -> Iterator[str]:
    """Yield the lines of every test that ran."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call":
                yield from (f"{report.nodeid}: {value}" for name, value in report.user_properties if name == PROPERTY)
