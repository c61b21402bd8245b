"""What the tests of this folder share: captured log lines, and logging left as it was."""

import io
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
import structlog

from app.extensions import logs
from tests.extensions.support import Lines


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Put logging back after a test that configured it, as it was for the tests before."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, disabled = list(root.handlers), root.level, access.disabled
    output, library = replace(logs._output), structlog.get_config()
    # pytest undoes the capture of warnings behind logging's back; without this it would not be done again.
    logging.captureWarnings(capture=False)
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], access.disabled = handlers, disabled
    root.setLevel(level)
    for name in ("threshold", "render", "stream"):
        setattr(logs._output, name, getattr(output, name))
    structlog.configure(**library)
    logs.clear()


@pytest.fixture
def lines() -> Lines:
    """Log as JSON from INFO on, into memory."""
    stream = io.BytesIO()
    logs.configure("info", "json", stream)
    return Lines(stream)
