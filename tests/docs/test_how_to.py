"""The page of how-to: every block of code is applied to a copy of the project, and what they make works."""

import os
import subprocess
import sys
from pathlib import Path

from tests.docs.draft import ROOT, apply_page, copy_project

NOBODY = "http://127.0.0.1:9"
"""Where nobody answers; the setting that the page adds, as the environment says it."""


def test_what_the_page_adds_works(tmp_path: Path) -> None:
    """A permission, an event, a task, a setting, a service, a mail, a migration, an error and a middleware."""
    copy_project(tmp_path)
    apply_page(tmp_path)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    found = subprocess.run(
        [sys.executable, "-m", "tests.docs.postcards"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", "APP_POSTCARDS__PRINTER": NOBODY},
    )
    assert found.returncode == 0, found.stderr
