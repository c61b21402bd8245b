"""A hasher that is watched, and the mails that people get."""

from collections.abc import Iterator

import pytest

from app.auth.passwords import passwords
from app.core.unit_of_work import UnitOfWork
from tests.auth.hashers import WatchedHasher
from tests.auth.mailbox import Mailbox


@pytest.fixture
def hasher(monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedHasher]:
    """Watch the algorithm of the process's one `PasswordHasher` during the test."""
    watched = WatchedHasher()
    monkeypatch.setitem(vars(passwords), "hasher", watched)
    monkeypatch.delitem(vars(passwords), "decoy", raising=False)
    yield watched
    watched.gate.set()


@pytest.fixture
def mailbox(work: UnitOfWork) -> Mailbox:
    """Return what shows the mails that the application sends."""
    return Mailbox(work)
