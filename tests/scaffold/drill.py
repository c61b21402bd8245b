"""The drill of `app new` and `app remove`, on copies of this checkout: `python -m tests.scaffold.drill [CASE ...]`.

`new`, `project`, `without-all`, `without-` and a module; `without` is every removal, nothing is all of it.

Each copy runs in this environment, by PYTHONPATH, and knows the types that this checkout's last check found. What must
hold after each step: ruff, mypy, the import contracts; with new modules, in a project with one, and without all modules
also the tests that a change of modules breaks most easily. With GROUNDPLAN_DRILL_WHOLE=1 each case runs all tests once,
and a new module has fields of every kind. Two cases run at a time, each says at its end how it went; status 1 unless
all went well.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from app.commands.writing import ROOT
from app.scaffold.fields import KINDS
from app.scaffold.projects import ignored
from app.scaffold.removal import modules_of

WHOLE = bool(os.environ.get("GROUNDPLAN_DRILL_WHOLE"))
EVERYTHING = " ".join(f"{kind}_{end}:{kind}{mark}" for kind in KINDS for end, mark in (("a", ""), ("b", "?")))
FIELDS = EVERYTHING if WHOLE else "title:str due_on:date?"
OPTIONS = {"plain": [], "fancy": ["--fancy", "--fields", FIELDS]}
NEW = {f"{flavour}_things": options for flavour, options in OPTIONS.items()}
"""Modules by name. It stands nowhere as it is: what names a module goes with it, and so would this file."""

MIGRATIONS = "tests/db/test_migrations.py"
TOUCHED = ("tests/core/test_hub.py", MIGRATIONS, "tests/docs/test_pages.py", "tests/access/test_document.py")
"""What a registry, a table, a page or the document of the API can break; the application is started for them."""

SCHEMA = "agree or down_and_up or printed_script"
OF_THE_NEW = " or ".join((*OPTIONS, SCHEMA, "reference"))
WITHOUT_RACES = "not take_turns"
"""Whether two processes that migrate at once take turns is no matter of modules, and starts two."""

PYTEST = ("python", "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider")

LONGEST = 3600
"""Seconds that one step may take."""


class Broken(Exception):
    """A step failed: the log says which, and how."""


class Place:
    """A checkout to try in; `log` has a line for each step, `types` is what mypy remembers."""

    def __init__(self, root: Path, types: Path, log: list[str]) -> None:
        self.root, self.types, self.log = root, types, log
        self.tested = False
        """Whether all tests ran here."""

    def beside(self, root: Path) -> "Place":
        """Return another checkout of the same case."""
        return Place(root, self.types, self.log)

    def run(self, *command: str) -> None:
        """Run a program of this environment here; end the case when it fails."""
        begun = time.monotonic()
        environment = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
        found = subprocess.run(  # noqa: S603 - our own
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            cwd=self.root,
            env={**environment, "PYTHONPATH": str(self.root), "MYPY_CACHE_DIR": str(self.types)},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
        self.log.append(f"  {time.monotonic() - begun:6.1f} s  {' '.join(command)[:90]}")
        if found.returncode:
            self.log.append(found.stdout[-6000:] + found.stderr[-6000:])
            raise Broken

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
        """Run some tests in one process, which loads the application once; with WHOLE, at first, all there are."""
        if WHOLE and not self.tested:
            self.tested = True
            self.run(*PYTEST)
        elif places:
            chosen = [place for place in places if self.has(place)]
            self.run(*PYTEST, "-n", "0", *chosen, *(["-k", only] if only else []))

    def has(self, place: str) -> bool:
        """Tell whether there are tests in a place."""
        path = self.root / place
        return path.is_file() or any(path.rglob("test_*.py"))

    def contents(self) -> dict[str, str]:
        """Return the text of each file of Python, and of each page, but the migrations."""
        files = [path for end in ("*.py", "*.md") for path in self.root.rglob(end) if "alembic" not in path.parts]
        return {str(path.relative_to(self.root)): path.read_text(encoding="utf-8") for path in files}


def new(place: Place) -> None:
    """Write a module of each flavour; take them out again: nothing is left but migrations."""
    before = place.contents()
    for name, options in NEW.items():
        place.app("new", "module", name, *options)
    place.check()
    place.test("tests/modules", *TOUCHED, only=OF_THE_NEW)
    for name in NEW:
        place.app("remove", "module", name)
    after = place.contents()
    changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    if changed:
        place.log.append(f"not as before: {changed}")
        raise Broken
    place.test(MIGRATIONS, only=SCHEMA)


def remove(names: Sequence[str], tests: Sequence[str], place: Place) -> None:
    """Remove modules, one after the other."""
    for name in names:
        place.app("remove", "module", name)
    place.check()
    place.test(*tests, only=WITHOUT_RACES)


def project(place: Place) -> None:
    """Write a new project, and a module in it."""
    shop = place.beside(place.root.with_name("corner-shop"))
    place.app("new", "project", str(shop.root))
    shop.check()
    shop.test()
    shop.app("new", "module", "parcels")
    shop.check()
    shop.test("tests/modules", *TOUCHED, "tests/auth/test_policy.py", only=WITHOUT_RACES)


def cases() -> dict[str, Callable[[Place], None]]:
    """Return what is tried, by name: what takes longest comes first."""
    modules = modules_of(ROOT)
    singles = {f"without-{name}": partial(remove, [name], ()) for name in modules}
    return {"new": new, "project": project, "without-all": partial(remove, modules, TOUCHED), **singles}


def attempt(types: Path, name: str, case: Callable[[Place], None]) -> bool:
    """Try a case on a copy of this checkout, of which mypy knows `types`; print its steps and how it went."""
    begun = time.monotonic()
    log: list[str] = []
    with tempfile.TemporaryDirectory(prefix="gp-drill-") as folder:
        place = Place(Path(folder) / "project", Path(folder) / "types", log)
        shutil.copytree(ROOT, place.root, ignore=ignored)
        shutil.copytree(types, place.types)
        try:
            case(place)
            said = "as it should be"
        except Broken:
            said = "BROKEN"
    say("\n".join([*log, f"{name}: {said}, {time.monotonic() - begun:.0f} s"]))
    return said != "BROKEN"


def say(line: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(chosen: Sequence[str]) -> int:
    """Try what begins as was chosen, or everything; return the status."""
    known, begun = cases(), time.monotonic()
    unknown = [one for one in chosen if not any(name.startswith(one) for name in known)]
    if unknown:
        say(f"there is no case {', '.join(unknown)}: {', '.join(known)}")
        return 2
    names = [name for name in known if not chosen or name.startswith(tuple(chosen))]
    with tempfile.TemporaryDirectory(prefix="gp-types-") as folder:
        types = what_mypy_knows(Path(folder) / "types")
        with ThreadPoolExecutor(1 if WHOLE else 2) as pool:
            went = [*pool.map(lambda name: attempt(types, name, known[name]), names)]
    say(f"{sum(went)} of {len(went)} cases as they should be, {time.monotonic() - begun:.0f} s in all")
    return 0 if all(went) else 1


def what_mypy_knows(types: Path) -> Path:
    """Return where mypy keeps what it knows of this checkout: a copy of its cache, which others may read meanwhile."""
    cache = ROOT / ".mypy_cache"
    if cache.is_dir():
        shutil.copytree(cache, types, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    mypy = Path(sys.executable).with_name("mypy")
    subprocess.run([mypy, "--no-error-summary", "--cache-dir", types], cwd=ROOT, check=True)  # noqa: S603 - ours
    return types


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
