"""What a module may be called, and the words that follow from its name."""

import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.scaffold.exceptions import ScaffoldError
from app.scaffold.fields import TAKEN
from app.scaffold.reading import routes_of, tables_of
from app.scaffold.words import RESERVED

LONGEST = 24
NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
ENDINGS = (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("ss", "ss"), ("s", ""))
"""How a plural ends, and what its singular ends with."""


@dataclass(frozen=True, slots=True)
class Names:
    """A module's name in the forms that its files need: `many` is the folder, the table and the path."""

    many: str
    one: str

    @property
    def row(self) -> str:
        """Return the name of the class of one."""
        return "".join(part.capitalize() for part in self.one.split("_"))

    @property
    def a(self) -> str:
        """Return one in words, with its article."""
        return f"{'an' if self.one[0] in 'aeio' else 'a'} {self.words}"

    @property
    def words(self) -> str:
        """Return one in words."""
        return self.one.replace("_", " ")

    @property
    def path(self) -> str:
        """Return what its addresses begin with."""
        return self.many.replace("_", "-")

    @property
    def title(self) -> str:
        """Return several in words, as a sentence begins."""
        return self.many_words.capitalize()

    @property
    def many_words(self) -> str:
        """Return several in words."""
        return self.many.replace("_", " ")


def read_names(root: Path, many: str, one: str | None = None) -> Names:
    """Return a module's names; raises `ScaffoldError` for one that cannot be, or is taken in the project at `root`."""
    refuse_form(many, "a module's name")
    if many in [*sys.stdlib_module_names, *dir(builtins)] or is_installed(many):
        raise ScaffoldError(f"{many} collides with the package of that name: choose another name")
    if (root / "app" / "modules" / many / "__init__.py").exists():
        raise ScaffoldError(f"there is a module {many} already: app/modules/{many}")
    for what, taken in places(root):
        if many in taken:
            raise ScaffoldError(f"{many} collides with {what} of that name: choose another name")
    singular = singular_of(many) if one is None else one
    if one is None and singular in RESERVED:
        raise ScaffoldError(f"{singular} is reserved in SQL: name one with --singular, as in --singular our_{singular}")
    refuse_form(singular, "the name of one (--singular)")
    if singular in TAKEN:
        raise ScaffoldError(f"{singular} is taken in every module: name one with --singular")
    return Names(many, singular)


def refuse_form(name: str, what: str) -> None:
    """Raise for what cannot be a name in Python, in SQL and in a path."""
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ScaffoldError(f"{name} is a keyword of Python: {what} cannot be one")
    if name in RESERVED:
        raise ScaffoldError(f"{name} is reserved in SQL: {what} cannot be so")
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        raise ScaffoldError(
            f"{name!r} does not do: {what} is of lower-case letters, digits and single underscores, begins with a"
            f" letter, and has at most {LONGEST} characters"
        )


def singular_of(many: str) -> str:
    """Return the name of one: invoices, invoice; policies, policy; staff, staff."""
    for plural, singular in ENDINGS:
        if many.endswith(plural) and len(many) > len(plural) + 1:
            return many.removesuffix(plural) + singular
    return many


def is_installed(name: str) -> bool:
    """Tell whether Python finds a package or a module of that name."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def places(root: Path) -> Iterator[tuple[str, set[str]]]:
    """Yield what else has names in a project, and those."""
    yield "a package of the application", {path.stem for path in (root / "app").iterdir()}
    texts = [path.read_text(encoding="utf-8") for path in (root / "app").rglob("*.py")]
    yield "a table", {table for text in texts for table in tables_of(text)}
    yield "a path", {route for text in texts for route in routes_of(text)}
