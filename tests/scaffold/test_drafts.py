"""What is written: in the project's own style, where it belongs, all of it or nothing."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.commands.writing import ROOT
from app.db.base import Base
from app.scaffold.draft import Draft
from app.scaffold.dropping import code_of, steps_of
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.fields import DEFAULT, KINDS, read_fields
from app.scaffold.modules import FLAVOURS, draft_module
from app.scaffold.names import LONGEST, read_names
from app.scaffold.projects import make_project
from app.scaffold.pruning import prune
from app.scaffold.reading import heads
from app.scaffold.reference import add_rows
from app.scaffold.removal import unlink
from app.scaffold.signs import Gone

EVERYTHING = " ".join(f"{kind}_{end}:{kind}{mark}" for kind in KINDS for end, mark in (("a", ""), ("b", "?")))
LONG = "x" * 30
REGISTRIES = {"app/models.py", "app/routes.py", "app/hub.py", "app/worker.py"}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("name", "fields"),
    [("quokkas", DEFAULT), ("snow_leopards", EVERYTHING), ("y" * (LONGEST - 1) + "s", f"{LONG}:str")],
    ids=["as_by_default", "every_type", "long_names"],
)
def test_what_is_written_is_well_formed(tmp_path: Path, flavour: str, name: str, fields: str) -> None:
    """Ruff finds nothing to say of it, and nothing to format: neither lint, nor line lengths, nor docstrings."""
    draft = draft_module(ROOT, read_names(ROOT, name), read_fields(fields), flavour)
    (head,) = heads(ROOT / "alembic" / "versions")
    new = {path for path in draft.changes if path not in REGISTRIES}
    assert {path for path in new if not path.startswith((f"app/modules/{name}/", f"tests/modules/{name}/"))} == {
        f"alembic/versions/{int(head) + 1:04}_{name}.py"
    }
    draft.root = tmp_path
    for package in ("app", "app/modules", "tests", "tests/modules"):
        draft.write(f"{package}/__init__.py", '"""A package."""\n')
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    draft.commit()
    for arguments in (("check", "--quiet"), ("format", "--check", "--quiet")):
        command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
        found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        assert (found.returncode, found.stdout) == (0, "")


def test_the_registries_have_its_lines() -> None:
    """Each in the place of the modules', beside what was there."""
    draft = draft_module(ROOT, read_names(ROOT, "quokkas"), read_fields(DEFAULT), "simple")
    for path, line in (
        ("app/models.py", "    quokkas,\n"),
        ("app/routes.py", "    quokkas,\n"),
        ("app/hub.py", "        QuokkaDeleted: [delivered(quokka_handlers.let_expire)],\n"),
        ("app/worker.py", "    purge_quokka,\n"),
    ):
        before, after = (ROOT / path).read_text(encoding="utf-8"), draft.read(path)
        assert line in after
        assert [one for one in before.splitlines() if one not in after.splitlines()] == []


def test_the_reference_has_its_rows(tmp_path: Path) -> None:
    """All else in the pages stays as it was; where there are no such pages, nothing is written of them."""
    names, draft = read_names(ROOT, "quokkas"), Draft(ROOT)
    assert add_rows(draft, names)
    for page, rows in (("permissions", 3 + 6), ("events", 5), ("errors", 1)):
        before = (ROOT / "docs" / "reference" / f"{page}.md").read_text(encoding="utf-8").splitlines()
        after = draft.read(f"docs/reference/{page}.md").splitlines()
        assert [line for line in after if "quokka" not in line] == before
        assert len(after) == len(before) + rows
    assert not add_rows(Draft(tmp_path), names)


def test_a_table_of_any_types_can_be_made_again() -> None:
    """By what the migration imports: `JSONB` has another type within, which Alembic writes for PostgreSQL alone."""
    types = Base.registry.type_annotation_map.values()
    columns = [sa.Column(f"column_{number}", kind) for number, kind in enumerate(types)]
    tree = ast.parse(textwrap.dedent(code_of(steps_of(sa.Table("of_all", sa.MetaData(), *columns)))))
    assert {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} == {"sa", "op", "postgresql"}


def test_all_is_written_or_nothing(tmp_path: Path) -> None:
    """What fails half way puts back what was there, and leaves no folder behind."""
    (tmp_path / "kept.py").write_text("kept = 1\n")
    (tmp_path / "file").write_text("in the way")
    draft = Draft(tmp_path)
    draft.write("kept.py", "kept = 2\n")
    draft.write("new/one.py", "new = 1\n")
    draft.write("file/two.py", "new = 2\n")
    with pytest.raises(ScaffoldError, match="cannot be written"):
        draft.commit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "kept.py"]
    assert (tmp_path / "kept.py").read_text() == "kept = 1\n"


def test_nothing_is_left_beside(tmp_path: Path) -> None:
    """A file that cannot take its place goes again: it would be in the way of the next attempt."""
    (tmp_path / "one.py" / "inside").mkdir(parents=True)
    draft = Draft(tmp_path)
    draft.write("one.py", "one = 1\n")
    with pytest.raises(ScaffoldError, match="cannot be written"):
        draft.commit()
    assert [path.name for path in tmp_path.iterdir()] == ["one.py"]


def test_half_a_project_does_not_stay(tmp_path: Path) -> None:
    """Whatever ends the work: here a file that is no text, elsewhere a key that is pressed."""
    (tmp_path / "from" / "app" / "modules").mkdir(parents=True)
    (tmp_path / "from" / "app" / "modules" / "odd.py").write_bytes(b"\xa7")
    with pytest.raises(UnicodeDecodeError):
        make_project(tmp_path / "from", tmp_path / "to", "To")
    assert not (tmp_path / "to").exists()


def test_what_is_no_python_is_one_line(tmp_path: Path) -> None:
    """A merge that is not over, or what would come of an unlucky name: where it is says enough."""
    (tmp_path / "pyproject.toml").write_text("")
    draft = Draft(tmp_path)
    draft.write("app/hub.py", "ships = 1\n<<<<<<< ours\n")
    with pytest.raises(ScaffoldError, match=r"^app/hub\.py:2 is no Python: invalid syntax$"):
        prune(draft, Gone({"app.modules.ships"}, {"ships"}, "ship"), "app/hub.py")
    draft.write("app/hub.py", "def sail(ship, ship): ...\n")
    with pytest.raises(ScaffoldError, match=r"^app/hub\.py:1 would be no Python: duplicate argument 'ship'"):
        draft.format()


def test_what_is_hidden_is_not_ours(tmp_path: Path) -> None:
    """An environment that benchmarks made beside themselves holds thousands of files of others."""
    for path in ("benchmarks/one.py", "benchmarks/.environments/arq/lib/two.py", "benchmarks/jobs/three.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    assert Draft(tmp_path).files("benchmarks") == ["benchmarks/jobs/three.py", "benchmarks/one.py"]


def test_a_folder_goes_with_all_that_is_in_it(tmp_path: Path) -> None:
    """What is no text, too, and what Python left there; when something fails, all of it comes back."""
    folder = tmp_path / "ships"
    (folder / "__pycache__").mkdir(parents=True)
    (folder / "one.py").write_text("one = 1\n")
    (folder / "logo.png").write_bytes(b"\xa7\x00")
    (folder / "__pycache__" / "one.cpython-311.pyc").write_bytes(b"\xa7\x0d")
    (tmp_path / "file").write_text("in the way")
    spoiled, draft = Draft(tmp_path), Draft(tmp_path)
    for one in (spoiled, draft):
        one.remove("ships")
    spoiled.write("file/two.py", "")
    with pytest.raises(ScaffoldError, match="cannot be written"):
        spoiled.commit()
    assert (folder / "logo.png").read_bytes() == b"\xa7\x00"
    assert (folder / "one.py").read_text() == "one = 1\n"
    draft.commit()
    assert not folder.exists()


USES = '''
"""Tests."""
from app.modules.ships.models import Ship
from tests.help import build, plain

SHIPS: list[type] = [Ship]
PATHS = ["GET /ships/{ship_id}", "GET /tenants", "GET /spaceships"]

class Caller:
    """Somebody."""
    def create_ship(self) -> str:
        """Create one."""
        return "/ships"
    def rest(self) -> None:
        """Say nothing of /ships here."""

def test_a(caller: Caller) -> None:
    """One."""
    caller.create_ship()

def test_b(harbour: int) -> None:
    """Two."""

def test_c(caller: Caller) -> None:
    """Three, of ships."""
    caller.rest()
    plain()

def test_d() -> None:
    """Four."""
    build()
'''
HELP = '''
"""Help."""
import pytest
from app.modules.ships.services import ShipService

@pytest.fixture
def harbour() -> int:
    """Return a harbour."""
    return ShipService.size

def build() -> None:
    """Build one."""
    ShipService.build()

def plain() -> None:
    """Do nothing."""
'''


def test_what_names_a_module_goes_with_it(tmp_path: Path) -> None:
    """Imports, entries, methods, and the tests that use them, by whatever way; what only sounds like it stays."""
    (tmp_path / "pyproject.toml").write_text('[tool.ruff.lint]\nselect = ["F", "I"]\n')
    draft = Draft(tmp_path)
    draft.write("tests/test_uses.py", USES)
    draft.write("tests/help.py", HELP)
    draft.write("tests/conftest.py", HELP)
    prune(draft, Gone(modules={"app.modules.ships"}, texts={"ships"}, stem="ship", paths=("/ships",)), "tests")
    draft.format()
    left = draft.read("tests/test_uses.py")
    names = [node.name for node in ast.walk(ast.parse(left)) if isinstance(node, ast.FunctionDef)]
    assert names == ["test_c", "rest"]
    assert 'PATHS = ["GET /tenants", "GET /spaceships"]' in left
    assert "SHIPS: list[type] = []" in left
    assert "from tests.help import plain\n" in left
    assert "app.modules" not in left + draft.read("tests/help.py") + draft.read("tests/conftest.py")


def test_links_to_a_module_that_goes_lose_their_target(tmp_path: Path) -> None:
    """Pages go on to name it; a link that leads nowhere is what the tests of the pages refuse."""
    text = "[`quokkas`](../app/modules/quokkas/), [file](../app/modules/quokkas/x.py), [b](../app/modules/quokkas_b)"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(text, encoding="utf-8")
    draft = Draft(tmp_path)
    unlink(draft, ["quokkas"])
    assert draft.changes == {"docs/page.md": "`quokkas`, file, [b](../app/modules/quokkas_b)"}


PROGRAM = """
from app.modules.ships.services import ShipService

LIMIT = 3


def main() -> None:
    ShipService.build()


if __name__ == "__main__":
    main()
"""


def test_a_program_goes_with_what_it_runs(tmp_path: Path) -> None:
    """What runs it stands loose in the file, and is found with it: nothing else there says what goes."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks" / "sail.py").write_text(PROGRAM)
    draft = Draft(tmp_path)
    prune(draft, Gone({"app.modules.ships"}, set(), "ship"), "benchmarks")
    assert draft.changes == {"benchmarks/sail.py": None}
