"""The rows of a new module in docs/reference, as its templates say: to load the application for them takes seconds."""

import re
from collections.abc import Sequence

from app.scaffold.draft import Draft
from app.scaffold.modules import TEMPLATES, render
from app.scaffold.names import Names

PAGES = "docs/reference"
TABLE = re.compile(r"^(\|.*\n\|(?: --- \|)+\n)((?:\|.*\n)*)", re.MULTILINE)
"""A table: its head, and its rows."""


def add_rows(draft: Draft, names: Names) -> bool:
    """Add the rows of a new module; tell whether there was a place for each, or `make docs` must write the pages."""
    for template in sorted((TEMPLATES / "reference").iterdir()):
        path = f"{PAGES}/{template.name.removesuffix('.j2')}"
        if not (draft.root / path).is_file():
            return False
        page = draft.read(path)
        known = dict(TABLE.findall(page))
        for head, rows in TABLE.findall(render(f"reference/{template.name}", {"m": names})):
            if head not in known:
                return False
            page = page.replace(head + known[head], head + placed(known[head] + rows))
        draft.write(path, page)
    return True


def placed(rows: str) -> str:
    """Return a table's rows in their order."""
    return "".join(sorted(rows.splitlines(keepends=True), key=lambda row: rank(cells_of(row))))


def cells_of(row: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in row.strip().removeprefix("|").removesuffix("|").split(" | ")]


def rank(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what a row is sorted by: its cells from left to right, but an operation's path before its method."""
    return cells[0].strip("`").split()[::-1], [*cells[1:]]
