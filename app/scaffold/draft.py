"""Changes to a folder that are made in memory, and written all together or not at all."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from app.scaffold.exceptions import ScaffoldError

MENDED = "F401,I,RUF100"
"""What ruff mends in what was written: names that nobody uses, the order of imports, exceptions without a cause."""


class Draft:
    """Files of a folder as they will be."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.changes: dict[str, str | None] = {}
        """Text by path, None for what goes."""

    def read(self, path: str) -> str:
        """Return a file as it will be; raises `ScaffoldError` for one that there is not."""
        if path in self.changes:
            text = self.changes[path]
        else:
            file = self.root / path
            text = file.read_text(encoding="utf-8") if file.is_file() else None
        if text is None:
            raise ScaffoldError(f"there is no {path} in {self.root}: is this a checkout of the project?")
        return text

    def write(self, path: str, text: str) -> None:
        """Let a file have this text."""
        self.changes[path] = text

    def remove(self, path: str) -> None:
        """Let a file, or a folder with everything in it, go."""
        place = self.root / path
        found = (file for file in (place, *place.rglob("*")) if file.is_file() and file.parent.name != "__pycache__")
        files = [str(file.relative_to(self.root)) for file in found]
        for one in [*files, *(one for one in self.changes if is_in(one, [path]))]:
            self.changes[one] = None

    def files(self, *places: str) -> list[str]:
        """Return the Python files of some folders, but of hidden ones, and those named themselves, as they will be."""
        inside = (path.relative_to(self.root) for place in places for path in (self.root / place).rglob("*.py"))
        found = {str(path) for path in inside if not any(part.startswith(".") for part in path.parts)}
        found |= {place for place in places if (self.root / place).is_file()}
        found |= {path for path in self.changes if path.endswith(".py") and is_in(path, places)}
        return sorted(path for path in found if self.changes.get(path, "") is not None)

    def format(self) -> None:
        """Let ruff order and format what was written, by the rules of the project; raises for what is no Python."""
        with tempfile.TemporaryDirectory(prefix="gp-") as folder:
            written = {path: text for path, text in self.changes.items() if text is not None and path.endswith(".py")}
            for path, text in written.items():
                put(Path(folder) / path, text.encode())
            put(Path(folder) / "pyproject.toml", (self.root / "pyproject.toml").read_bytes())
            ruff("check", "--fix-only", "--quiet", "--fixable", MENDED, ".", folder=folder)
            ruff("format", "--quiet", ".", folder=folder)
            for path in written:
                self.changes[path] = compiled((Path(folder) / path).read_text(encoding="utf-8"), path)

    def commit(self) -> None:
        """Write everything; when something fails, put back what was there and raise `ScaffoldError`."""
        before: dict[str, bytes | None] = {}
        try:
            for path, text in self.changes.items():
                file = self.root / path
                before[path] = file.read_bytes() if file.is_file() else None
                apply(file, None if text is None else text.encode())
        except BaseException as error:
            for path, content in before.items():
                with suppress(OSError):
                    apply(self.root / path, content)
            if isinstance(error, OSError):
                raise ScaffoldError(f"{error.filename} cannot be written: {error.strerror}") from error
            raise
        finally:
            for path in before:
                prune(self.root, (self.root / path).parent)


def compiled(text: str, path: str) -> str:
    """Return a file's text; raises `ScaffoldError` for what a parser takes and Python does not: an argument twice."""
    try:
        compile(text, path, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise ScaffoldError(f"{path}:{error.lineno} would be no Python: {error.msg}") from error
    return text


def is_in(path: str, places: Sequence[str]) -> bool:
    """Tell whether a path is one of the places, or inside one."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def put(file: Path, content: bytes) -> None:
    """Write a file, whole, in a folder that may have to be made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f".{file.name}.new")
    try:
        beside.write_bytes(content)
        if file.exists():
            beside.chmod(file.stat().st_mode)
        beside.replace(file)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def apply(file: Path, content: bytes | None) -> None:
    """Let a file have a content, or be gone."""
    if content is None:
        file.unlink(missing_ok=True)
    else:
        put(file, content)


def prune(root: Path, folder: Path) -> None:
    """Remove folders that hold nothing any more, but what Python left there."""
    while folder != root and folder.is_dir():
        for cache in folder.glob("__pycache__/*.pyc"):
            source = folder / f"{cache.name.partition('.')[0]}.py"
            if not source.exists():
                cache.unlink()
        with suppress(OSError):
            (folder / "__pycache__").rmdir()
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def ruff(*arguments: str, folder: str) -> None:
    """Run ruff in a folder; raises `ScaffoldError` when it is not there, or finds what is no Python."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    program = shutil.which("ruff", path=places)
    if program is None:
        raise ScaffoldError("ruff is not here: it comes with `make setup`")
    found = subprocess.run(  # noqa: S603 - our own environment's
        [program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "RUFF_NO_CACHE": "true"},
    )
    if found.returncode:
        raise ScaffoldError(f"what was to be written is not well formed: {(found.stderr or found.stdout).strip()}")
