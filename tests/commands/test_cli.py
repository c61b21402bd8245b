"""The table of commands, and those that only print."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.cli import COMMANDS, load
from app.core.permissions import CATALOGUE
from app.core.routing import operations
from app.main import bare_app
from tests.commands.support import ROOT, call, run


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",)])
def test_the_table_is_printed(capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    """Without a name, or asked for help, it prints each command with what it does."""
    assert call(*arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    for name, (_, text) in COMMANDS.items():
        assert [name, text] in lines


def test_the_table_costs_no_imports() -> None:
    """Help is quick: neither the framework nor the database's library is loaded for it, nor any settings."""
    program = "import sys; from app.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    found = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={"APP_NO_SUCH_SETTING": "1"},
    )
    loaded = set(found.stderr.split())
    assert "app.cli" in loaded
    assert not loaded & {"fastapi", "starlette", "sqlalchemy", "pydantic", "typer", "rich", "asyncio", "app.config"}


def test_what_works_in_the_background_loads_nothing_of_the_api() -> None:
    """Neither the web framework, nor what weighs passwords, signs tokens or shows queues; nor by way of libraries."""
    program = "import sys, app.commands.worker, app.commands.relay, app.commands.scheduler; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)  # noqa: S603 - our own program
    loaded = set(found.stdout.split())
    assert {"app.processes", "app.models"} <= loaded
    assert not loaded & {"fastapi", "uvicorn", "zxcvbn", "jwt", "rq_dashboard", "app.main"}


def test_what_is_no_python_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A merge that is not over says where, and no more; status 2."""
    broken = tmp_path / "not_merged.py"
    broken.write_text("x = 1\n<<<<<<< ours\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SystemExit) as ended:
        load("not_merged")
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"app: {broken}:2 is no Python: invalid syntax\n")


def test_an_unknown_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that there is not is told with the table, on standard error, with status 2."""
    assert call("no-such-command", "--help") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("app: there is no command 'no-such-command'\n")
    assert all(name in err for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """`--help` of each says how it is called, and exits with 0; an unknown option exits with 2."""
    assert call(name, "--help") == 0
    out, err = capsys.readouterr()
    assert f"Usage: app {name}" in out
    assert err == ""
    assert call(name, "--no-such-option") == 2
    out, err = capsys.readouterr()
    assert "No such option" in err
    assert out == ""


def test_every_option_is_explained() -> None:
    """No parameter of any command goes without a word of help."""
    for name, (module, _) in COMMANDS.items():
        call(name, "--help")
        for command in sys.modules[module].cli.registered_commands:
            hints = command.callback.__annotations__
            silent = [
                parameter
                for parameter, hint in hints.items()
                if parameter != "return" and not getattr(hint, "__metadata__", [None])[0].help
            ]
            assert silent == [], name


def test_the_matrix_has_every_operation_and_permission(capsys: pytest.CaptureFixture[str]) -> None:
    """Each operation stands whole on its line, with what it asks and who may; each permission with its meaning."""
    assert call("permissions") == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    for method, path, route in operations(bare_app()):
        (row,) = (row for row in rows if row and row[0] == f"{method} {path}")
        assert row[1] == str(route.access)
    for name, permission in CATALOGUE.items():
        (row,) = (row for row in rows if row[:2] == [name, permission.description])
        assert row[2:] == [
            "yes" if role in permission.roles else "-" for role in ("owner", "admin", "member", "viewer")
        ]


def test_the_matrix_says_what_else_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """The module, and the check of the object."""
    assert call("permissions") == 0
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    (row,) = (row for row in rows if row and row[0] == "PATCH /api/v1/projects/{project_id}")
    assert row[1:] == ["projects.write", "yes", "yes", "yes", "-", "module projects, check may_change"]


def test_the_document_says_what_each_operation_asks(capsys: pytest.CaptureFixture[str]) -> None:
    """The output is one JSON document; every operation has a name and `x-access`, every reference leads somewhere."""
    assert call("openapi") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["openapi"].startswith("3.1")
    found = {
        (method.upper(), path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }
    assert found.keys() == {(method, path) for method, path, _ in operations(bare_app())}
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    for operation in found.values():
        assert operation["x-access"] in {"open", "authenticated", "superuser", *CATALOGUE}
    for reference in references(document):
        where = document
        for part in reference.removeprefix("#/").split("/"):
            where = where[part]


def references(node: object) -> list[str]:
    """Return every `$ref` of a document."""
    if isinstance(node, list):
        return [found for part in node for found in references(part)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [found for part in node.values() for found in references(part)]


@pytest.mark.parametrize(
    ("command", "environment", "said"),
    [
        ("permissions", {"APP_NO_SUCH_SETTING": "hunter2"}, "unknown key no_such_setting"),
        ("relay", {}, "auth.signing_keys is missing"),
        ("serve", {"APP_DATABASE__URL": "mysql://root:hunter2@db/x"}, "database.url must begin with postgresql"),
    ],
)
def test_a_wrong_setting_is_one_line(command: str, environment: dict[str, str], said: str) -> None:
    """The command ends with status 1 and one line that names the setting, never its value."""
    outcome = run(command, **environment)
    assert outcome.code == 1
    assert outcome.complaint.startswith("Settings: ")
    assert said in outcome.complaint
    assert "hunter2" not in outcome.complaint


def test_a_check_that_fails_has_said_where_each_setting_comes_from() -> None:
    """Who looks for a fault in the settings sees them, and then what is missing."""
    outcome = run("check")
    assert (outcome.code, "auth.signing_keys" in outcome.out, "hunter2" in outcome.out) == (1, True, False)
    assert outcome.err.startswith("Settings: auth.signing_keys is missing")
