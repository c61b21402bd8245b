"""Takes out of a project's files whatever names something that goes, and whatever uses that in turn.

It reads, and imports nothing. What goes is a file, a definition of a file, a method, an entry of a literal table, or
one of the names that an import brings. Nothing is guessed: what goes is named by an import, by the name of a fixture,
or by a text that only the module declares: `signs.py` says which.
"""

import ast
import gc
from collections.abc import Iterator, Mapping
from functools import cache, cached_property

from app.scaffold.draft import Draft
from app.scaffold.reading import tree_of
from app.scaffold.signs import Gone, unglued, words_in

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
Speaking = ast.Constant | ast.Name | ast.arg | ast.Attribute
Literal = ast.List | ast.Tuple | ast.Set | ast.Dict
Span = tuple[int, int, int, int]
"""First line and column, last line and column, as `ast` counts."""

MOST_ROUNDS = 30


@cache
def speaking(node: ast.AST) -> list[ast.AST]:
    """Return what can name something in a piece of code: names, arguments, attributes, and texts but no docstrings."""
    inside = list(ast.walk(node))
    places = (one.body[0] for one in inside if isinstance(one, Definition))
    docs = {id(one.value) for one in places if isinstance(one, ast.Expr)}
    after = {id(one) for joined in inside if isinstance(joined, ast.JoinedStr) for one in joined.values[1:]}
    found = (one for one in inside if isinstance(one, Speaking) and id(one) not in docs)
    return [unglued(one) if isinstance(one, ast.Constant) and id(one) in after else one for one in found]


def prune(draft: Draft, gone: Gone, *places: str) -> None:
    """Take what goes out of some files and folders, until nothing there names it."""
    collects = gc.isenabled()
    gc.disable()  # a third of the time: the trees are kept, and looked through again and again
    try:
        prune_all(draft, gone, *places)
    finally:
        if collects:
            gc.enable()


def prune_all(draft: Draft, gone: Gone, *places: str) -> None:
    """Take it out, round after round."""
    for _ in range(MOST_ROUNDS):
        found = False
        for path in draft.files(*places):
            text = draft.read(path)
            if words_in(text).isdisjoint(gone.words()):
                continue
            after = File(path, text, gone).pruned()
            if after is None:
                draft.remove(path)
                gone.modules.add(dotted(path))
            elif after != text:
                draft.write(path, after)
            found = found or after != text
        if not found:
            return
    raise RecursionError("what goes has no end")


def dotted(path: str) -> str:
    """Return what a file is called in an import."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


class File:
    """One file, and what of it goes."""

    def __init__(self, path: str, text: str, gone: Gone) -> None:
        self.path, self.text, self.gone = path, text, gone
        self.tree = tree_of(text, path)
        self.name = dotted(path)
        self.bound: set[str] = set()
        self.spans: list[Span] = []
        self.entries: list[Span] = []
        self.rest: dict[Span, str] = {}
        """What stays of a statement whose lines go."""

    def pruned(self) -> str | None:
        """Return the text without what goes; None when nothing is left that is worth a file."""
        self.bound |= self.gone.names.get(self.name, set())
        self.bound |= self.fixtures_above()
        self.read_imports()
        before = -1
        while before != len(self.bound):
            before, self.spans, self.entries = len(self.bound), [], []
            self.read_imports()
            self.read_body()
        if any(self.is_loose(node) and self.names(node) for node in self.tree.body):
            return None
        if not self.spans and not self.entries:
            return self.text
        text = without(self.text, self.spans, self.entries, self.rest)
        return None if self.is_spent(tree_of(text, self.path)) else text

    def fixtures_above(self) -> set[str]:
        """Return the fixtures that go from the conftest files that this one can ask."""
        parts = self.name.split(".")
        places = [".".join([*parts[:depth], "conftest"]) for depth in range(1, len(parts))]
        return {name for place in places for name in self.gone.names.get(place, set())}

    def read_imports(self) -> None:
        """Note the imports that go, and the names that they bound."""
        for node in self.tree.body:
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            source = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            known = self.gone.names.get(source, set())
            going = [
                one
                for one in node.names
                if one.name in known or self.gone.is_module(f"{source}.{one.name}".lstrip("."))
            ]
            if going:
                self.bound |= {one.asname or one.name.partition(".")[0] for one in going}
                self.spans.append(span_of(node))
                left = ", ".join(ast.unparse(one) for one in node.names if one not in going)
                self.rest[span_of(node)] = f"from {source} import {left}\n" if left and source else ""

    def read_body(self) -> None:
        """Note the definitions and entries that go."""
        for index, node in enumerate(self.tree.body):
            if isinstance(node, Definition):
                self.read_definition(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                self.read_table(node, self.tree.body[index + 1 : index + 2])

    def read_definition(self, node: Definition) -> None:
        """Note a function that goes, a class, or those of its methods and tables that do."""
        if isinstance(node, ast.ClassDef):
            inside = [*node.body]
            outside = [*node.bases, *node.keywords, *node.decorator_list]
            parts = [one for one in inside if isinstance(one, Function) and self.is_own(one) and self.names(one)]
            tables = [one for one in inside if isinstance(one, ast.AnnAssign) and isinstance(one.value, Literal)]
            rest = [one for one in [*outside, *inside] if one not in parts and one not in tables]
            if not any(self.names(one) for one in rest):
                self.spans += [span_of(one) for one in parts]
                self.gone.methods |= {one.name for one in parts}
                for one in tables:
                    self.read_table(one, [])
                return
        if self.names(node):
            self.let_go(node.name)
            self.spans.append(span_of(node))

    def is_own(self, method: Function) -> bool:
        """Tell whether a method is about what goes by its very name: it goes without its class."""
        return self.gone.stem in method.name

    def read_table(self, node: ast.Assign | ast.AnnAssign, after: list[ast.stmt]) -> None:
        """Note an assignment that goes, or entries of its literal; with it goes the text that says what it is."""
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        names = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
        if isinstance(node.value, Literal) and self.is_list(node):
            going = list(self.entries_of(node.value))
            if len(going) < size_of(node.value) or isinstance(node, ast.AnnAssign):
                self.entries += going
                return
        elif not (self.names(node) or set(names) & self.gone.names.get(self.name, set())):
            return
        for name in names:
            self.let_go(name)
        said = [one for one in after if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)]
        self.spans += [span_of(one) for one in [node, *said]]

    def is_list(self, node: ast.Assign | ast.AnnAssign) -> bool:
        """Tell whether an assignment is a table whose entries stand for themselves, and not a record."""
        if isinstance(node.value, ast.Tuple):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            return isinstance(target, ast.Name)
        return True

    def entries_of(self, literal: Literal) -> Iterator[Span]:
        """Yield where the entries stand that go; inside a value that is a literal too, those alone."""
        if not isinstance(literal, ast.Dict):
            yield from (place_of(one) for one in literal.elts if self.names(one))
            return
        for key, value in zip(literal.keys, literal.values, strict=True):
            first = key or value
            place = (first.lineno, first.col_offset, value.end_lineno or 0, value.end_col_offset or 0)
            if key is not None and self.names(key):
                yield place
            elif isinstance(value, ast.List):
                yield from self.entries_of(value)
            elif self.names(value):
                yield place

    def let_go(self, name: str) -> None:
        """Note that a name of this file goes."""
        self.bound.add(name)
        self.gone.names.setdefault(self.name, set()).add(name)

    def is_loose(self, node: ast.stmt) -> bool:
        """Tell whether a statement stands by itself: what it names cannot be taken out of it. Prose names nothing."""
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return False
        return not isinstance(node, Definition | ast.Import | ast.ImportFrom | ast.Assign | ast.AnnAssign)

    def names(self, node: ast.AST) -> bool:
        """Tell whether a piece of code names something that goes."""
        return any(self.is_named(one) for one in speaking(node))

    def is_named(self, node: ast.AST) -> bool:
        """Tell whether one node names something that goes."""
        if isinstance(node, ast.Constant):
            return isinstance(node.value, str) and self.gone.is_text(node.value)
        if isinstance(node, ast.Name):
            return node.id in self.bound
        if isinstance(node, ast.arg):
            return node.arg in self.bound
        if isinstance(node, ast.Attribute):
            return node.attr in self.gone.methods or self.is_foreign(node)
        return False

    def is_foreign(self, node: ast.Attribute) -> bool:
        """Tell whether an attribute is what another file of the tests defines no more: `scenarios.objects`."""
        if not isinstance(node.value, ast.Name):
            return False
        return node.attr in self.gone.names.get(self.sources.get(node.value.id, ""), set())

    @cached_property
    def sources(self) -> dict[str, str]:
        """Return where the names that are imported come from."""
        imports = (one for one in self.tree.body if isinstance(one, ast.ImportFrom))
        return {alias.asname or alias.name: f"{one.module}.{alias.name}" for one in imports for alias in one.names}

    def is_spent(self, tree: ast.Module) -> bool:
        """Tell whether nothing is left but imports, or no test in a file of tests."""
        left = [node for node in tree.body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
        if self.path.rpartition("/")[2].startswith("test_"):
            return not any(isinstance(node, Function) and node.name.startswith("test_") for node in left)
        return not left and not self.path.endswith("__init__.py")


def size_of(literal: Literal) -> int:
    """Return how many entries a literal has."""
    return len(literal.values if isinstance(literal, ast.Dict) else literal.elts)


def place_of(node: ast.expr | ast.alias) -> Span:
    """Return where a piece of a line, or of several, stands."""
    return node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0


def span_of(node: ast.stmt) -> Span:
    """Return the whole lines of a statement, its decorators among them."""
    decorators = node.decorator_list if isinstance(node, Definition) else []
    return min([node.lineno, *(one.lineno for one in decorators)]), 0, (node.end_lineno or 0) + 1, 0


def without(text: str, spans: list[Span], entries: list[Span], left: Mapping[Span, str]) -> str:
    """Return a text without whole statements, but for what is left of them, and entries with the commas after them."""
    rows = [row.encode() for row in text.splitlines(keepends=True)]
    starts = [0]
    for row in rows:
        starts.append(starts[-1] + len(row))
    starts.append(starts[-1])
    data = b"".join(rows)
    for place in sorted({*spans, *entries}, reverse=True):
        first, begin, last, end = place
        rest = data[starts[last - 1] + end :]
        if place in entries and rest.lstrip().startswith(b","):
            rest = rest.lstrip().removeprefix(b",")
        data = data[: starts[first - 1] + begin] + left.get(place, "").encode() + rest
    return data.decode()
