"""The drill of `app new` and `app remove`, on copies of this checkout: `python -m tests.scaffold.drill [CASE ...]`.

Each copy runs in this environment, by PYTHONPATH, and lends its types to the next one's check. What must hold after
each step: ruff, mypy, the import contracts, and the tests that a change of modules can break; all tests with
GROUNDPLAN_DRILL_WHOLE=1. Ends with status 1 at the first that does not.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from app.commands.writing import ROOT
from app.scaffold.fields import KINDS
from app.scaffold.projects import ignored
from app.scaffold.removal import modules_of

EVERYTHING = " ".join(f"{kind}_{end}:{kind}{mark}" for kind in KINDS for end, mark in (("a", ""), ("b", "?")))
OPTIONS = {"plain": [], "fancy": ["--fancy", "--fields", EVERYTHING]}
NEW = {f"{flavour}_things": options for flavour, options in OPTIONS.items()}
"""Modules by name. It stands nowhere as it is: what names a module goes with it, and so would this file."""

TOUCHED = ("tests/core/test_hub.py", "tests/db/test_migrations.py")
GENERATED = (*TOUCHED, "tests/isolation/test_generated.py", "tests/db/test_policies.py", "tests/modules")
TYPES = Path(tempfile.gettempdir()) / f"gp-drill-{os.getpid()}"
"""What mypy remembers from one copy to the next; it begins with what it knows of this checkout."""

LONGEST = 1800
"""Seconds that one step may take."""


class Place:
    """A checkout to try in."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def run(self, *command: str) -> None:
        """Run a program of this environment here; end the drill when it fails."""
        begun = time.monotonic()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
        found = subprocess.run(  # noqa: S603 - our own
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=self.root,
            env={**environment, "PYTHONPATH": str(self.root), "MYPY_CACHE_DIR": str(TYPES)},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        say(f"  {time.monotonic() - begun:6.1f} s  {' '.join(command)[:90]}")
        if found.returncode:
            say(found.stdout[-6000:] + found.stderr[-6000:])
            raise SystemExit(1)

    def app(self, *arguments: str) -> None:
        """Run the command here."""
        self.run("python", "-m", "app.cli", *arguments)

    def check(self) -> None:
        """Hold it against every rule."""
        self.run("ruff", "check", "--quiet")
        self.run("ruff", "format", "--check", "--quiet")
        self.run("mypy")
        self.run("lint-imports")

    def test(self, *places: str, only: str = "") -> None:
        """Run the tests that matter, or all of them."""
        chosen = [] if os.environ.get("GROUNDPLAN_DRILL_WHOLE") else [place for place in places if self.has(place)]
        narrowed = ["-k", only] if only and chosen else []
        self.run("python", "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *narrowed, *chosen)

    def has(self, place: str) -> bool:
        """Tell whether there are tests in a place."""
        path = self.root / place
        return path.is_file() or any(path.rglob("test_*.py"))


@contextmanager
def copy() -> Iterator[Place]:
    """Yield a copy of this checkout."""
    with tempfile.TemporaryDirectory(prefix="gp-drill-") as folder:
        root = Path(folder) / "project"
        shutil.copytree(ROOT, root, ignore=ignored)
        yield Place(root)


def new() -> None:
    """Write a module of each flavour; take them out again: nothing is left but migrations."""
    with copy() as place:
        before = contents(place.root)
        for name, options in NEW.items():
            place.app("new", "module", name, *options)
        place.check()
        place.test(*GENERATED, only=f"{' or '.join(NEW)} or plain or fancy or migrations or agree")
        for name in NEW:
            place.app("remove", "module", name)
        after = contents(place.root)
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        if changed:
            say(f"not as before: {changed}")
            raise SystemExit(1)
        place.test("tests/db/test_migrations.py")


def contents(root: Path) -> dict[str, str]:
    """Return the text of each file of Python but the migrations."""
    files = (path for path in root.rglob("*.py") if "alembic" not in path.parts)
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in files}


def remove(*names: str) -> None:
    """Remove modules, one after the other."""
    with copy() as place:
        for name in names:
            place.app("remove", "module", name)
        place.check()
        place.test(*TOUCHED)


def project() -> None:
    """Write a new project, and a module in it."""
    with copy() as place:
        there = Path(place.root).with_name("corner-shop")
        place.app("new", "project", str(there))
        shop = Place(there)
        shop.check()
        shop.test(*TOUCHED, "tests/auth/test_policy.py", "tests/access/test_matrix.py")
        shop.app("new", "module", "parcels")
        shop.check()
        shop.test(*TOUCHED)


def cases() -> dict[str, Callable[[], None]]:
    """Return what is tried, by name."""
    modules = modules_of(ROOT)
    singles = {f"without-{name}": partial(remove, name) for name in modules}
    return {"new": new, **singles, "without-all": partial(remove, *modules), "project": project}


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(chosen: Sequence[str]) -> None:
    """Try what was chosen, or everything."""
    known = cases()
    try:
        if (ROOT / ".mypy_cache").is_dir():
            shutil.copytree(ROOT / ".mypy_cache", TYPES, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
        for name in chosen or known:
            begun = time.monotonic()
            say(name)
            known[name]()
            say(f"  {time.monotonic() - begun:6.1f} s in all")
    finally:
        shutil.rmtree(TYPES, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
