"""A copy of the project to which the blocks of a page are applied."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to.md"
COPIED = ("app", "alembic", "alembic.ini", "settings.toml")

NEW = re.compile(r"^```(?:python|jinja)\n(?:# (\S+)|\{# (\S+) #\})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGED = re.compile(r"^```diff\n--- (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```\w+$", re.MULTILINE)


def copy_project(place: Path) -> None:
    """Copy what runs, without settings and secrets of this machine."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, place / name)


def apply_page(place: Path) -> None:
    """Apply every block of the page; fail for one that is neither a new file nor a change that fits."""
    page = PAGE.read_text(encoding="utf-8")
    new, changed = NEW.findall(page), CHANGED.findall(page)
    assert len(new) + len(changed) == len(FENCE.findall(page))
    head = max(path.name.partition("_")[0] for path in (ROOT / "alembic" / "versions").glob("*.py"))
    for script, template, text in new:
        path = place / (script or template)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("0098", head), encoding="utf-8")
    for name, hunks in changed:
        change(place / name, hunks)


def change(path: Path, hunks: str) -> None:
    """Apply changes to a file: lines with + and -, between lines that stand there once; `@@` parts places."""
    text = path.read_text(encoding="utf-8")
    for hunk in hunks.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        assert text.count(before) == 1, f"{path} has no such place, or several:\n{before}"
        text = text.replace(before, "".join(line[1:] or "\n" for line in lines if line[0] != "-"))
    path.write_text(text, encoding="utf-8")
