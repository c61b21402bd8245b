"""What stays in a project, and cannot do without a module that goes."""

import ast
from collections.abc import Iterator

from app.scaffold.draft import Draft
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.reading import tree_of
from app.scaffold.signs import Gone, words_in

KEYS = {"ForeignKey", "ForeignKeyConstraint", "tenant_fk"}
"""What refers to the rows of another table."""


def refuse_needed(draft: Draft, name: str, gone: Gone) -> None:
    """Raise `ScaffoldError` for the first file of the application that imports what goes, or refers to its rows.

    What is pruned is pruned by then: what is left would not start, or would keep the tables from being dropped.
    """
    for path in draft.files("app"):
        text = draft.read(path)
        if words_in(text).isdisjoint(gone.rows | gone.words()) or not needs(tree_of(text, path), gone):
            continue
        module = path.split("/")[2] if path.startswith("app/modules/") else ""
        raise ScaffoldError(
            f"{module or 'the application'} needs {name}: {path};"
            f" {f'remove {module} first, or take that out' if module else 'take that out first'}"
        )


def needs(tree: ast.Module, gone: Gone) -> bool:
    """Tell whether a file cannot do without what goes."""
    if any(gone.is_module(source) or name in gone.names.get(source, ()) for source, name in imports_in(tree)):
        return True
    return any(target.partition(".")[0] in gone.rows for target in targets_in(tree))


def imports_in(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield what is imported, wherever it is: the module and the name, and the name as a module of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.module or "", alias.name
                yield f"{node.module}.{alias.name}", ""


def targets_in(tree: ast.Module) -> Iterator[str]:
    """Yield the texts that keys are made with: `alphas.id`, `alphas`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in KEYS:
            inside = [one for argument in node.args for one in ast.walk(argument)]
            yield from (one.value for one in inside if isinstance(one, ast.Constant) and isinstance(one.value, str))
