"""Calling the command: in this process, or in one of its own with settings of its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from app.cli import main

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = (sys.executable, "-c", "from app.cli import main; main()")


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """Return the one line that it said in place of an answer; there must be no other."""
        assert self.out == ""
        (line,) = self.err.splitlines()
        return line


def run(*arguments: str, stdin: str = "", **environment: str) -> Outcome:
    """Run the command in a process of its own; of this one's environment it gets what is no setting."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    found = subprocess.run(  # noqa: S603 - our own program
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**inherited, "APP_ENV": "testing", **environment},
    )
    assert "Traceback" not in found.stderr, found.stderr
    return Outcome(found.returncode, found.stdout, found.stderr)


def code_of(command: Callable[[], None]) -> int:
    """Return the status with which a command ends."""
    try:
        command()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0


def call(*arguments: str) -> int:
    """Run the command in this process, and return its status; what it says goes to `capsys`."""
    return code_of(lambda: main(arguments))
