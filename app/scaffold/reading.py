"""What a file says, read and not imported."""

import ast
import re
from functools import cache
from pathlib import Path

from app.scaffold.exceptions import ScaffoldError

TABLE = re.compile(r"""^\s+__tablename__ = ["'](\w+)["']""", re.MULTILINE)
ROUTE = re.compile(r"""\bRouter\([^)]*prefix=["']/([^"'/]+)""")
REVISION = re.compile(r"""^revision = ["'](\w+)["']""", re.MULTILINE)
BEFORE = re.compile(r"""^down_revision = (?:["'](\w+)["']|None)""", re.MULTILINE)
TABLES_OF_STEPS = {"create_table", "drop_table", "add_column", "drop_column", "alter_column"}


@cache
def tree_of(text: str, path: str) -> ast.Module:
    """Return a file as a tree: most are looked at more than once. Raises `ScaffoldError` for what is no Python."""
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise ScaffoldError(f"{path}:{error.lineno} is no Python: {error.msg}") from error


def tables_of(text: str) -> list[str]:
    """Return the tables whose rows are classes of a file."""
    return TABLE.findall(text)


def routes_of(text: str) -> list[str]:
    """Return the first parts of the paths that routers of a file begin with."""
    return ROUTE.findall(text)


def bound_in(tree: ast.Module) -> set[str]:
    """Return the names that the imports, definitions and assignments of a file bind."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)}
    return found


def words_of(text: str) -> set[str]:
    """Return what a piece of code calls by a name of its own: variables, arguments, imports and definitions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
    return found


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
