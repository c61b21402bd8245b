"""By what a module that goes is named elsewhere.

A bare word is no sign, be it the name of the module or of a table: `items`, `plans` and `sessions` mean much else.
What is one: an import, a text that the module alone declares (permissions, events, codes, tasks), its path where an
address begins, and its table where SQL asks for one.
"""

import ast
import re
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate

VERB = re.compile(r"\b(?:select|insert|update|delete|lock|alter|truncate)\b", re.IGNORECASE)
TABLE = re.compile(
    r"""\b(?:from|join|into|update|table|on|truncate|lock)(?:\s+(?:only|table))*\s+"""
    r"""((?:[\w."]+(?:\s+(?:as\s+)?\w+)?\s*,\s*)*[\w."]+)""",
    re.IGNORECASE,
)
"""A table's place in a statement, or that of several: `from a x, b y`, `lock table a, b`."""

NAMED = re.compile(r"\b(\w+)\s+as\s+(?:(?:not\s+)?materialized\s+)?\(", re.IGNORECASE)
"""What a statement calls so for itself: `with a as (...)`."""

MADE_TABLES = re.compile(
    r"""__tablename__ = ["'](\w+)|\bcreate (?:\w+ )?table (?:if not exists )?(\w+)""", re.IGNORECASE
)
MADE_PATHS = re.compile(r"""(?:\bprefix=|^\s*@[\w.]+\(|\.mount\()["'](/[^"'/{]+)""", re.MULTILINE)


@dataclass
class Gone:
    """What goes, as far as is known."""

    modules: set[str]
    """Dotted names: whatever is imported from one of them, or from inside it, goes."""
    texts: set[str]
    """Texts that mean it, wherever they stand alone."""
    stem: str
    paths: tuple[str, ...] = ()
    """Beginnings of addresses that mean it."""
    tables: tuple[str, ...] = ()
    """Its tables, but such as bear a name that something else has, too."""
    rows: frozenset[str] = frozenset()
    """All its tables: whatever refers to their rows needs it."""
    names: dict[str, set[str]] = field(default_factory=dict)
    """By dotted name of a file, what it defines no more."""
    methods: set[str] = field(default_factory=set)

    def words(self) -> set[str]:
        """Return words of which one at least stands in whatever names what goes."""
        found = {one.rpartition(".")[2] for one in (*self.modules, *self.names)}
        found |= {one.rpartition("/")[2] for one in self.paths}
        found |= {re.split(r"\W", one)[0] for one in (*self.texts, *self.tables)}
        found = {word for one in found for word in words_in(one)}
        fixtures = (names for source, names in self.names.items() if source.endswith("conftest"))
        return found.union(self.methods, *fixtures)

    def is_module(self, name: str) -> bool:
        """Tell whether a dotted name goes."""
        return not self.modules.isdisjoint(accumulate(name.split("."), "{}.{}".format))

    def is_text(self, text: str) -> bool:
        """Tell whether a text means what goes: exactly, as an address, or as a table in SQL."""
        if text in self.texts or self.is_module(text):
            return True
        if any(one in text for one in self.tables) and not asked_in(text).isdisjoint(self.tables):
            return True
        words = re.split(r"[\s(,;]+", text)
        return any(word == one or word.startswith((f"{one}/", f"{one}?")) for word in words for one in self.paths)


@cache
def words_in(text: str) -> frozenset[str]:
    """Return the words of a text; most files hold none that matters, and need no closer look."""
    return frozenset(re.findall(r"\w+", text))


def asked_in(text: str) -> set[str]:
    """Return the tables that a statement asks for, but what it calls so itself; none for prose."""
    if not VERB.search(text):
        return set()
    found = {one for place in TABLE.findall(text) for one in re.findall(r"(?:\w+\.)?(\w+)", place.replace('"', ""))}
    return found - set(NAMED.findall(text))


@cache
def made_in(text: str) -> frozenset[str]:
    """Return the tables that a file makes, and the beginnings of the addresses that it serves."""
    return frozenset(one for pair in MADE_TABLES.findall(text) for one in pair if one).union(MADE_PATHS.findall(text))


def unglued(text: ast.Constant) -> ast.Constant:
    """Return what follows a value in an f-string, without what is one word with it: `{base}/items` begins elsewhere."""
    return ast.Constant(re.sub(r"^\S+", "", text.value)) if isinstance(text.value, str) else text
