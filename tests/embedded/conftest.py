"""Fixtures of the engine's tests: short folders, and engines that are stopped whatever happens."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.embedded.postgres import Postgres, wheel_programs
from app.embedded.ways import first_closed

Make = Callable[..., Postgres]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a new folder that everybody may pass, with a path short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="gp-", dir="/tmp")).resolve()
    made.chmod(0o711)
    yield made
    shutil.rmtree(made)


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    """Yield a function that builds an engine (unless told otherwise in `folder`), to be stopped after the test."""
    made: list[Postgres] = []

    def build(data: Path | None = None, **more: Path) -> Postgres:
        made.append(Postgres(data or folder / "postgres", options={"fsync": "off"}, **more))
        return made[-1]

    yield build
    for postgres in made:
        postgres.stop()


def closed_to_nobody() -> bool:
    """Tell whether the environment stands in a folder that nobody cannot enter, such as root's home."""
    return os.geteuid() == 0 and first_closed(wheel_programs(), pwd.getpwnam("nobody").pw_uid) is not None


open_to_nobody = pytest.mark.skipif(
    closed_to_nobody(), reason=".venv stands in a folder that the user nobody cannot enter: run from an open one"
)
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root is refused by PostgreSQL, and can be others")
