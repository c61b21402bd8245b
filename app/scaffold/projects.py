"""A new project: a copy of this one without its modules, under a name of its own."""

import ast
import re
import shutil
from collections.abc import Collection
from pathlib import Path

from app.scaffold.draft import Draft
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.modules import VERSIONS
from app.scaffold.pages import leave_demo
from app.scaffold.reading import revisions, tables_of, tree_of
from app.scaffold.removal import draft_removal, modules_of
from app.scaffold.titles import rename

LEFT = (".git", ".data", ".venv", ".env", ".secrets.toml", "dist", ".environments", "__pycache__", ".hypothesis")
"""What is this checkout's own: neither its history nor its secrets go along."""

ENDS = (".egg-info", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".local.toml", ".pyc")
LONGEST = 60
NAME = re.compile(r"[^\W_][\w &'+-]*")


def refuse_place(root: Path, place: Path) -> None:
    """Raise `ScaffoldError` for a folder that holds something, or lies in this project."""
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ScaffoldError(f"{place} is there already, and not empty")
    if root == place or root in place.parents:
        raise ScaffoldError(f"{place} lies in this project: choose a folder outside of {root}")


def read_title(place: Path, title: str | None) -> str:
    """Return what the project is called: as asked, or after its folder."""
    found = title if title is not None else place.name.replace("-", " ").replace("_", " ").strip().capitalize()
    if not NAME.fullmatch(found) or len(found) > LONGEST:
        raise ScaffoldError(
            f"{found!r} does not do: a project's name begins with a letter or a digit, has at most {LONGEST}"
            " characters, and no signs but spaces, dashes and & ' + (--name)"
        )
    return found


def make_project(root: Path, place: Path, title: str) -> None:
    """Copy the project at `root` without its modules; raises `ScaffoldError`, and leaves nothing, where it cannot."""
    was_there = place.exists()
    try:
        shutil.copytree(root, place, ignore=ignored, dirs_exist_ok=True, symlinks=True)
        names = modules_of(place)
        tables = tables_in(place / "app" / "modules")
        draft = draft_removal(place, names)
        leave_out(draft, tables)
        leave_demo(draft, names)
        rename(draft, title)
        draft.format()
        draft.commit()
    except BaseException as error:
        shutil.rmtree(place, ignore_errors=True)
        if was_there:
            place.mkdir()
        if isinstance(error, OSError):
            raise ScaffoldError(f"{place} cannot be made: {error}") from error
        raise


def ignored(_: str, names: list[str]) -> set[str]:
    """Return what of a folder does not go along."""
    return {name for name in names if name in LEFT or name.endswith(ENDS)}


def tables_in(folder: Path) -> set[str]:
    """Return the tables of a folder's models."""
    return {table for path in folder.rglob("*.py") for table in tables_of(path.read_text(encoding="utf-8"))}


def leave_out(draft: Draft, tables: set[str]) -> None:
    """Take the migrations out that are about these tables alone; those after them follow on those before."""
    known = revisions(draft.root / VERSIONS)
    every = tables | tables_in(draft.root / "app")
    named = {number: touched(path, every) for number, (_, path) in known.items()}
    going = {number for number in known if named[number] and named[number] <= tables}
    for number, (before, path) in known.items():
        where = f"{VERSIONS}/{path.name}"
        if number in going:
            draft.remove(where)
            continue
        after = before
        while after in going:
            after = known[after][0]
        if after != before:
            text = draft.read(where).replace(f"; after: {before}.", f"; after: {after}.")
            draft.write(where, text.replace(f'down_revision = "{before}"', f'down_revision = "{after}"'))


def touched(path: Path, known: Collection[str]) -> set[str]:
    """Return which of the known tables a migration names by a text of their own, as arguments and constants do."""
    nodes = ast.walk(tree_of(path.read_text(encoding="utf-8"), f"{VERSIONS}/{path.name}"))
    return {str(node.value) for node in nodes if isinstance(node, ast.Constant)} & set(known)
