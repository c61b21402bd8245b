"""Calling the command: in this process, or in one of its own with settings of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
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
    return start(PROGRAM, arguments, stdin, environment)


def run_each(*lines: Sequence[str], **environment: str) -> list[Outcome]:
    """Run several command lines, one after the other, in one process: starting it takes longer than they do."""
    found = start((sys.executable, "-m", "tests.commands.several"), [json.dumps(lines)], "", environment)
    assert (found.code, found.err) == (0, "")
    return [Outcome(*one) for one in json.loads(found.out)]


def start(program: Sequence[str], arguments: Sequence[str], stdin: str, environment: Mapping[str, str]) -> Outcome:
    """Run a program to its end."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    found = subprocess.run(  # noqa: S603 - our own program
        [*program, *arguments],
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
