"""Every link leads somewhere, the page of the seed has no empty row, and the reference is what the code says."""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SEED = ROOT / "docs" / "the-seed.md"

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`]*`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
ROW = re.compile(r"^\| (.*) \|$", re.MULTILINE)


@cache
def anchors(path: Path) -> frozenset[str]:
    """Return what a link may name behind the `#`, as GitHub makes it of headings."""
    headings = HEADING.findall(FENCED.sub("", path.read_text(encoding="utf-8")))
    return frozenset(re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings)


def broken(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(CODE.sub("", FENCED.sub("", page.read_text(encoding="utf-8")))):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    """To a file or folder of the project, and to a heading that it has."""
    assert broken(page) == []


def test_the_seed_has_no_empty_row() -> None:
    """Each says what was meant, where it lives, and what was cured, with a link to the page that tells more."""
    rows = [row.split(" | ") for row in ROW.findall(SEED.read_text(encoding="utf-8"))]
    rows = [row for row in rows if row[0] != "the seed"]
    assert len(rows) > 90
    assert [row for row in rows if len(row) != 3 or not all(map(str.strip, row)) or not LINK.search(row[2])] == []


def test_the_reference_is_what_the_code_says() -> None:
    """If this fails: `make docs`."""
    program = ROOT / "docs" / "reference" / "generate.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(program), "--check"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)  # noqa: S603 - ours
    assert (found.returncode, found.stderr) == (0, "")
