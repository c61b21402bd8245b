"""The Dockerfile and `.dockerignore`, read as Docker reads them, as far as this project uses their languages."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = "/srv"
"""In the image everything of ours lies under it, so that the steps can be tried in another folder."""


@dataclass(frozen=True)
class Step:
    """One instruction: its word, the rest of it, and the number of its stage from 0."""

    word: str
    rest: str
    stage: int


def steps(text: str) -> Iterator[Step]:
    """Yield the instructions, continued lines joined."""
    stage = -1
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        word, _, rest = line.partition(" ")
        stage += word == "FROM"
        if word:
            yield Step(word, rest, stage)


@cache
def context(root: Path) -> frozenset[str]:
    """Return the files of a folder that an image may be made of; what no exception leads into is not looked at."""
    lines = (root / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    entrances = {pattern[1:].split("/")[0] for pattern in patterns if pattern.startswith("!")}
    paths = [path for name in entrances for path in [root / name, *(root / name).rglob("*")]]
    return frozenset(str(path.relative_to(root)) for path in paths if path.is_file() and kept(path, root, patterns))


def kept(path: Path, root: Path, patterns: list[str]) -> bool:
    """Tell whether the last pattern that matches a file, or a folder that it lies in, lets it in."""
    places = [path, *path.parents[: path.parents.index(root)]]
    names = [str(place.relative_to(root)) for place in places]
    verdict = True
    for pattern in patterns:
        if any(expression(pattern.removeprefix("!")).fullmatch(name) for name in names):
            verdict = pattern.startswith("!")
    return verdict


@cache
def expression(pattern: str) -> re.Pattern[str]:
    """Return a pattern as an expression: `**/` is any folder or none, `*` stays within one name."""
    parts = re.split(r"(\*\*/|\*)", pattern)
    return re.compile("".join({"**/": "(.*/)?", "*": "[^/]*"}.get(part, re.escape(part)) for part in parts))
