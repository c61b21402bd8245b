"""The hub's table is complete, or the application does not start."""

import pytest

from app.core.events import Event
from app.hub import MessageHub
from app.main import bare_app


def test_an_event_without_a_line_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class of the application that no line names is named instead."""
    event = next(iter(MessageHub.handlers))
    monkeypatch.delitem(MessageHub.handlers, event)
    with pytest.raises(TypeError, match=rf"{event.__name__} has no line in app/hub.py"):
        bare_app()


def test_every_line_is_of_an_event() -> None:
    """The table as it stands starts, and holds events alone."""
    bare_app()
    assert all(issubclass(event, Event) for event in MessageHub.handlers)
