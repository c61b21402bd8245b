"""Does what the tutorial says, in a copy of the project: `python -m tests.docs.tutorial`.

It types what stands after `$`, and compares what it sees with what the page shows; `...` stands for anything.
`make run` is the first terminal: begun anew, it gets a Ctrl-C first. Ends with status 1 at the first line that is not
as the page says.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from app.scaffold.projects import ignored
from tests.docs.draft import ROOT, change

PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(console|python|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```\w+$", re.MULTILINE)
RUN = "make run"
LONGEST = 300
"""Seconds that a command may take, or `make run` until it shows what it should."""


class WrongPageError(Exception):
    """The page does not say what happens."""


class Tutorial:
    """The page, and somebody who follows it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
        self.output = place.parent / "run.log"
        self.running: subprocess.Popen[bytes] | None = None
        self.shell = subprocess.Popen(
            ["/bin/bash"],
            cwd=place,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def follow(self) -> None:
        """Do everything in order; raises `WrongPageError`."""
        page = PAGE.read_text(encoding="utf-8")
        blocks = BLOCK.findall(page)
        if len(blocks) != len(FENCE.findall(page)):
            raise WrongPageError("a block is neither console nor python nor diff")
        for kind, text in blocks:
            if kind == "console":
                for command, shown in commands(text):
                    self.do(command, shown)
            elif kind == "diff":
                name, _, hunks = text.removeprefix("--- ").partition("\n")
                change(self.place / name, hunks)
            else:
                name, _, lines = text.removeprefix("# ").partition("\n")
                add(self.place / name, lines)

    def do(self, command: str, shown: str) -> None:
        """Type a command, and look at what it prints."""
        begun = time.monotonic()
        seen = self.start(shown) if command == RUN else self.typed(command)
        say(f"{time.monotonic() - begun:6.1f} s  {command[:100]}")
        if not fits(shown, seen):
            raise WrongPageError(f"$ {command}\nis to show\n{shown}\nand shows\n{seen[-4000:]}")

    def typed(self, command: str) -> str:
        """Let the second terminal run a command, and return what it printed."""
        end = f"--- {os.urandom(8).hex()}"
        keyboard, screen = parts(self.shell)
        keyboard.write(f"{command}\necho '{end}'\n")
        keyboard.flush()
        lines: list[str] = []
        for line in screen:
            if line.strip() == end:
                return "".join(lines)
            lines.append(line)
        raise WrongPageError(f"the shell ended at: {command}")

    def start(self, shown: str) -> str:
        """Let the first terminal run it anew, until it shows what it is to show."""
        self.interrupt()
        with self.output.open("wb") as log:
            self.running = subprocess.Popen(  # noqa: S603 - as the page says
                RUN.split(),
                cwd=self.place,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until = time.monotonic() + LONGEST
        while not fits(shown, seen := self.output.read_text(encoding="utf-8")):
            if self.running.poll() is not None or time.monotonic() > until:
                break
            time.sleep(0.1)
        return seen

    def interrupt(self) -> None:
        """Press Ctrl-C in the first terminal, and wait for the end of what runs there."""
        if self.running is not None:
            os.killpg(self.running.pid, signal.SIGINT)
            self.running.wait(60)
            self.running = None

    def leave(self) -> None:
        """Close both terminals."""
        self.shell.kill()
        self.shell.wait()
        self.interrupt()


def parts(shell: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Return the two ends of a shell."""
    if shell.stdin is None or shell.stdout is None:
        raise RuntimeError("the shell was started without pipes")
    return shell.stdin, shell.stdout


def commands(block: str) -> list[tuple[str, str]]:
    """Return each command of a block with what it is to show."""
    found = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    return [(command, shown) for command, _, shown in (part.partition("\n") for part in found)]


def fits(shown: str, seen: str) -> bool:
    """Tell whether somebody saw what the page shows."""
    pattern = re.escape(shown.strip()).replace(re.escape("..."), ".*")
    return re.fullmatch(pattern, seen.strip(), re.DOTALL) is not None


def add(path: Path, lines: str) -> None:
    """Add lines to a file, or make it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(lines)


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Follow the page in a copy; return 1 when it is wrong somewhere."""
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gp-tutorial-", ignore_cleanup_errors=True) as folder:
        place = Path(folder) / "groundplan"
        shutil.copytree(ROOT, place, ignore=ignored)
        if (ROOT / ".mypy_cache").is_dir():
            shutil.copytree(ROOT / ".mypy_cache", place / ".mypy_cache")
        tutorial = Tutorial(place)
        try:
            tutorial.follow()
        except WrongPageError as error:
            say(str(error))
            return 1
        finally:
            tutorial.leave()
    say(f"{time.monotonic() - begun:6.1f} s in all: the tutorial is as it says")
    return 0


if __name__ == "__main__":
    sys.exit(main())
