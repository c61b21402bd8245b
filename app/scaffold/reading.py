"""What a file says, read and not imported."""

import ast
import re
from pathlib import Path

TABLE = re.compile(r"""^\s+__tablename__ = ["'](\w+)["']""", re.MULTILINE)
ROUTE = re.compile(r"""\bRouter\([^)]*prefix=["']/([^"'/]+)""")
REVISION = re.compile(r"""^revision = ["'](\w+)["']""", re.MULTILINE)
BEFORE = re.compile(r"""^down_revision = (?:["'](\w+)["']|None)""", re.MULTILINE)
TABLES_OF_STEPS = {"create_table", "drop_table", "add_column", "drop_column", "alter_column"}


def tables_of(text: str) -> list[str]:
    """Return the tables whose rows are classes of a file."""
    return TABLE.findall(text)


def routes_of(text: str) -> list[str]:
    """Return the first parts of the paths that routers of a file begin with."""
    return ROUTE.findall(text)


def strings_in(tree: ast.AST) -> set[str]:
    """Return every text that stands in a piece of code, docstrings among them."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


def revisions(folder: Path) -> dict[str, tuple[str | None, Path]]:
    """Return, by revision, the one before it and the file."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        revision, before = REVISION.search(text), BEFORE.search(text)
        if revision and before:
            found[revision[1]] = (before[1], path)
    return found


def heads(folder: Path) -> list[str]:
    """Return the revisions that none comes after."""
    found = revisions(folder)
    return sorted(found.keys() - {before for before, _ in found.values()})
