"""A hasher that is watched."""

from collections.abc import Iterator

import pytest

from app.auth.passwords import passwords
from tests.auth.hashers import WatchedHasher


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedHasher]:
    """Watch the algorithm of the process's one `PasswordHasher` during the test."""
    watched = WatchedHasher()
    monkeypatch.setitem(vars(passwords), "hasher", watched)
    monkeypatch.delitem(vars(passwords), "decoy", raising=False)
    yield watched
    watched.gate.set()
