"""What the tests of this folder share: captured log lines, and logging left as it was."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.extensions import logs
from tests.extensions.support import Lines


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Run asynchronous tests on asyncio, as the servers do."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _logging_restored() -> Iterator[None]:
    """Put logging back after a test that configured it."""
    root, access = logging.getLogger(), logging.getLogger("uvicorn.access")
    handlers, level, output = list(root.handlers), root.level, logs.Output()
    yield
    logging.captureWarnings(capture=False)
    root.handlers[:], access.disabled = handlers, False
    root.setLevel(level)
    logs._output.threshold, logs._output.render, logs._output.stream = output.threshold, output.render, None
    structlog.reset_defaults()
    logs.clear()


@pytest.fixture
def lines() -> Lines:
    """Log as JSON from INFO on, into memory."""
    stream = io.BytesIO()
    logs.configure("info", "json", stream)
    return Lines(stream)
