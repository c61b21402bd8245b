"""New lines in the literal tables: `models.py`, `routes.py`, `hub.py`, `worker.py`."""

import ast
from collections.abc import Sequence

from app.scaffold.exceptions import ScaffoldError
from app.scaffold.reading import bound_in, tree_of


def add_imports(path: str, text: str, *lines: str) -> str:
    """Return a file's text with more imports; their order is ruff's matter.

    Raises `ScaffoldError` for a name that something else has there: the last import of it would hide the others.
    """
    tree = tree_of(text, path)
    known = bound_in(tree)
    for name in (name for line in lines for name in sorted(bound_in(ast.parse(line)))):
        if name in known:
            raise ScaffoldError(
                f"{name} means something else in {path}: choose another name, or name one with --singular"
            )
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    if not imports:
        raise ScaffoldError("a registry without imports is none")
    rows = text.splitlines(keepends=True)
    rows[imports[-1].end_lineno or 0 : imports[-1].end_lineno or 0] = [f"{line}\n" for line in lines]
    return "".join(rows)


def add_entries(path: str, text: str, table: str, entries: Sequence[str]) -> str:
    """Return a file's text with more entries in a list or dictionary: after the last that is a module's, or at its end.

    Raises `ScaffoldError` where there is no such table.
    """
    tree = tree_of(text, path)
    literal = find(tree, table)
    ends = literal.elts if isinstance(literal, ast.List) else literal.values
    keys = literal.elts if isinstance(literal, ast.List) else literal.keys
    known = names_of_modules(tree)
    of_modules = [end for key, end in zip(keys, ends, strict=True) if isinstance(key, ast.Name) and key.id in known]
    if ends:
        after = (of_modules or ends)[-1]
        return insert(text, after.end_lineno or 0, after.end_col_offset or 0, "".join(f",\n{one}" for one in entries))
    return insert(text, literal.lineno, literal.col_offset + 1, ",\n".join(entries))


def find(tree: ast.Module, table: str) -> ast.List | ast.Dict:
    """Return the literal that a name stands for, in the file or in one of its classes."""
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body if isinstance(node, ast.AnnAssign)):
        if (
            isinstance(node.target, ast.Name)
            and node.target.id == table
            and isinstance(node.value, ast.List | ast.Dict)
        ):
            return node.value
    raise ScaffoldError(f"there is no table {table} where it should be")


def names_of_modules(tree: ast.Module) -> set[str]:
    """Return what a file imports from modules."""
    imports = (node for node in tree.body if isinstance(node, ast.ImportFrom))
    return {
        alias.asname or alias.name
        for node in imports
        if (node.module or "").startswith("app.modules.")
        for alias in node.names
    }


def insert(text: str, line: int, column: int, more: str) -> str:
    """Return a text with more at a place, as `ast` counts: lines from 1, columns in bytes of UTF-8."""
    rows = text.splitlines(keepends=True)
    row = rows[line - 1].encode()
    rows[line - 1] = (row[:column] + more.encode() + row[column:]).decode()
    return "".join(rows)
