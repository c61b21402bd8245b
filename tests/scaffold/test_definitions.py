"""What a module and its fields may be called: whatever does not do is one line, status 2, and nothing written."""

import re
from pathlib import Path

import pytest
from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from app.commands.writing import ROOT
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.fields import DEFAULT, read_fields
from app.scaffold.modules import draft_module
from app.scaffold.names import read_names, singular_of
from app.scaffold.removal import modules_of
from app.scaffold.words import RESERVED
from tests.commands.support import call


def test_the_reserved_words_are_those_that_would_be_quoted() -> None:
    """A table of such a name works, but every statement that a person writes by hand fails."""
    assert RESERVED == RESERVED_WORDS


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("class", "is a keyword of Python"),
        ("match", "is a keyword of Python"),
        ("select", "is reserved in SQL"),
        ("orders", "order is reserved in SQL: name one with --singular"),
        ("json", "collides with the package"),
        ("fastapi", "collides with the package"),
        ("list", "collides with the package"),
        ("users", "collides with a package of the application"),
        ("hub", "collides with a package of the application"),
        ("memberships", "collides with a table"),
        ("superuser", "collides with a path"),
        ("events", "name one with --singular"),
        ("Quokkas", "does not do"),
        ("2nd", "does not do"),
        ("purchase-orders", "does not do"),
        ("a__b", "does not do"),
        ("../up", "does not do"),
        ("x" * 25, "does not do"),
        ("", "does not do"),
    ],
)
def test_a_name_that_does_not_do_is_refused(capsys: pytest.CaptureFixture[str], name: str, said: str) -> None:
    """The line says why; the project is as it was."""
    before = modules_of(ROOT)
    assert call("new", "module", name) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert modules_of(ROOT) == before


@pytest.mark.parametrize(
    ("many", "one", "said"),
    [
        ("customers", None, "CustomerCreated is there already, in app/modules/billing/events.py"),
        ("invoices", None, "InvoiceNotFoundError is there already, in app/modules/billing/exceptions.py"),
        ("role", None, "RoleCreated is there already, in app/tenants/events.py"),
        ("deals", "project", "ProjectCreated is there already, in app/modules/projects/events.py"),
        ("door", None, "door means something else in app/routes.py"),
        ("updates", None, "update means something else in app/modules/updates/routes.py"),
        ("values", None, "value means something else in app/modules/values/services.py"),
    ],
)
def test_a_name_that_means_something_where_it_would_stand_is_refused(many: str, one: str | None, said: str) -> None:
    """In a registry the import of one would hide the other, in a file of the module one variable the other.

    What is seen of classes from outside, such as operations and schemas, would be there twice.
    """
    with pytest.raises(ScaffoldError, match=f"^{re.escape(said)}: "):
        draft_module(ROOT, read_names(ROOT, many, one), read_fields("title:str"), "simple")


@pytest.mark.parametrize("many", ["selfs", "uuids"])
def test_one_cannot_be_called_what_every_module_uses(many: str) -> None:
    """As an argument it would stand twice."""
    with pytest.raises(ScaffoldError, match="is taken in every module"):
        read_names(ROOT, many)


def test_what_python_left_of_a_module_is_none(tmp_path: Path) -> None:
    """A folder of compiled files, as a stash leaves it, is in nobody's way; a file is."""
    (tmp_path / "app" / "modules" / "quokkas" / "__pycache__").mkdir(parents=True)
    (tmp_path / "alembic" / "versions").mkdir(parents=True)
    (tmp_path / "alembic" / "versions" / "0001_one.py").write_text('revision = "0001"\ndown_revision = None\n')
    names = read_names(tmp_path, "quokkas")
    (tmp_path / "app" / "modules" / "quokkas" / "routes.py").touch()
    with pytest.raises(ScaffoldError, match=r"app/modules/quokkas/routes\.py is there already"):
        draft_module(tmp_path, names, read_fields(DEFAULT), "simple")


@pytest.mark.parametrize("name", modules_of(ROOT))
def test_a_module_that_is_there_is_not_written_over(name: str) -> None:
    """However it got there."""
    with pytest.raises(ScaffoldError, match="already"):
        read_names(ROOT, name)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("", "needs a field"),
        ("title", "is no field"),
        ("title:", "has no type that there is"),
        ("title:string", "has no type that there is"),
        ("title:str!", "has no type that there is"),
        (":str", "is no field"),
        ("Title:str", "is no field"),
        ("a b:str", "is no field"),
        ("for:str", "is reserved in SQL"),
        ("lambda:str", "is a keyword of Python"),
        ("order:int", "is reserved in SQL"),
        ("id:uuid", "is taken"),
        ("tenant_id:uuid", "is taken"),
        ("model_config:str", "is taken"),
        ("int:int note:text", "is taken"),
        ("a:str a:int", "is defined twice"),
        ("a:str?", "must not be optional"),
        (" ".join(f"f{number}:int" for number in range(31)), "too many"),
    ],
)
def test_a_field_that_does_not_do_is_refused(capsys: pytest.CaptureFixture[str], fields: str, said: str) -> None:
    """The line names the field."""
    assert call("new", "module", "quokkas", "--fields", fields) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
    assert "quokkas" not in modules_of(ROOT)


def test_a_definition_is_read() -> None:
    """By spaces or commas; a question mark makes a text empty by default, and anything else null."""
    found = read_fields("title:str, note:text? due_on:date?")
    assert [(field.name, field.created, field.changed) for field in found] == [
        ("title", "Name", "Name | Unset = None"),
        ("note", 'Text = ""', "Text | Unset = None"),
        ("due_on", "Day | None = None", "Day | None = None"),
    ]


@pytest.mark.parametrize(
    ("many", "one"),
    [("quokkas", "quokka"), ("policies", "policy"), ("boxes", "box"), ("staff", "staff"), ("addresses", "address")],
)
def test_one_of_many_has_a_name(many: str, one: str) -> None:
    """As English has it, mostly; `--singular` is for the rest."""
    assert singular_of(many) == one


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("remove", "module", "quokkas"), "there is no module quokkas"),
        (("remove", "module", "../core"), "there is no module ../core"),
        (("new", "project", str(ROOT)), "is there already"),
        (("new", "project", str(ROOT / "app" / "inside")), "lies in this project"),
        (("new", "project", "/nowhere/at/all", "--name", 'a "b"'), "does not do"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """Status 2, and nothing is changed."""
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert said in err
