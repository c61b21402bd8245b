"""The page of promises names tests that there are, and every requirement of OWASP ASVS 5.0.0, levels 1 and 2, once."""

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")

NAMED = sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE)))
PROMISES = dict(re.findall(r"^- \*\*([A-Z]\d)\*\* ((?:.+\n(?!- ))*.*)", PAGE, re.MULTILINE))
ROWS = re.findall(r"^\| ([\d., ]+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
NUMBERS = [number for numbers, _, _ in ROWS for number in numbers.split(", ")]

CHAPTERS = (27, 11, 19, 10, 9, 35, 18, 7, 7, 29, 14, 9, 13, 9, 13, 16, 7)
"""How many requirements of levels 1 and 2 each chapter of ASVS 5.0.0 has, V1 to V17."""


@cache
def names_in(path: str) -> frozenset[str]:
    """Return the tests of a file as pytest calls them; the file is read and not imported."""
    found = set()
    for node in ast.parse((ROOT / path).read_text(encoding="utf-8")).body:
        inside, prefix = (node.body, f"{node.name}::") if isinstance(node, ast.ClassDef) else ([node], "")
        functions = (one for one in inside if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
        found |= {prefix + one.name for one in functions if one.name.startswith("test_")}
    return frozenset(found)


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_is_there(named: str) -> None:
    """Renamed or removed, it would be a promise that nobody keeps."""
    path, _, name = named.partition("::")
    assert name in names_in(path)


def test_every_promise_names_a_test() -> None:
    """And has a code of its own, by which the table refers to it."""
    assert len(PROMISES) == len(re.findall(r"^- \*\*[A-Z]\d", PAGE, re.MULTILINE)) > 0
    assert [code for code, said in PROMISES.items() if "::test_" not in said] == []


def test_every_requirement_is_in_the_table_once() -> None:
    """In the form chapter.section.number; as many of each chapter as the standard has."""
    assert [number for number in NUMBERS if not re.fullmatch(r"([1-9]\d?\.){2}[1-9]\d?", number)] == []
    assert [number for number, times in Counter(NUMBERS).items() if times > 1] == []
    found = Counter(int(number.partition(".")[0]) for number in NUMBERS)
    assert tuple(found[chapter] for chapter in range(1, len(CHAPTERS) + 1)) == CHAPTERS


def test_the_table_refers_to_promises_that_there_are() -> None:
    """Each row says met, not met, operator or not here; what it is met by stands above."""
    assert [
        state for _, _, state in ROWS if not re.match(r"(met|\*\*not met\*\*|operator|not here)(\W|$)", state)
    ] == []
    codes = {code for _, _, state in ROWS for code in re.findall(r"\b[A-Z]\d\b", state)}
    assert codes <= PROMISES.keys()
