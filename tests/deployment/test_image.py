"""What goes into the image, what it is made by, and as whom it is run.

There is no Docker where tests run. `GROUNDPLAN_TEST_IMAGE=1 pytest tests/deployment` tries the steps of the first stage
in a folder, with this Python: it installs the locks, so it takes an index and some time.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment.dockerfile import FOLDER, ROOT, Step, context, steps
from tests.figures import Figure

STEPS = list(steps((ROOT / "Dockerfile").read_text()))
SECRETS = (
    ".env",
    ".secrets.toml",
    "settings.local.toml",
    ".data/signing_key",
    ".git/config",
    ".venv/lib/site.py",
    "dump.sql",
    "app/.env",
    "app/.secrets.toml",
    "app/prod.env",
    "app/auth/signing.key",
    "app/settings.local.toml",
    "alembic/versions/.secrets.toml",
    "app/extensions/tls.pem",
    "requirements/.netrc",
    "deploy/kubernetes/secrets.yaml",
    "app/__pycache__/config.cpython-311.pyc",
)
"""What people leave in the folder."""
MOST_BYTES = 2_000_000


def words(word: str, stage: int = 1) -> list[str]:
    """Return what the instructions of one word say, in one stage."""
    return [step.rest for step in STEPS if step.word == word and step.stage == stage]


def test_the_context_holds_code_and_no_secret(tmp_path: Path, figure: Figure) -> None:
    """Whatever lies in the folder beside the code, none of it is sent; the whole is small."""
    for name in SECRETS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("hunter2")
    shutil.copy(ROOT / ".dockerignore", tmp_path)
    assert context(tmp_path) == set()
    found = context(ROOT)
    assert {name.split("/")[0] for name in found} <= {
        *("app", "alembic", "alembic.ini", "settings.toml", "pyproject.toml", "requirements", "LICENSE"),
    }
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "app").rglob("*.py")} < found
    size = sum((ROOT / name).stat().st_size for name in found)
    figure(f"the image's context: {len(found)} files, {size:,} bytes")
    assert size < MOST_BYTES


def test_what_is_copied_is_in_the_context() -> None:
    """Each COPY of the first stage finds its files; the second one takes from the first alone."""
    found = context(ROOT)
    for rest in words("COPY", 0):
        for source in rest.split()[:-1]:
            assert any(name == source or name.startswith(f"{source}/") for name in found), source
    assert all(rest.startswith("--from=build /srv/") for rest in words("COPY"))


def test_what_is_installed_is_locked() -> None:
    """Each installation asks for hashes, but that of the project itself, which asks no index."""
    commands = [command for rest in words("RUN", 0) for command in rest.split("&&") if "pip" in command]
    installed = [command for command in commands if " install " in command]
    assert len(installed) == 3
    assert all(("--require-hashes -r requirements/" in one) != ("--no-index --no-deps" in one) for one in installed)
    assert [rest for rest in words("RUN") if "pip" in rest] == []


def test_no_instruction_holds_a_secret() -> None:
    """No argument and no variable of a stage is one that could be."""
    names = {name for step in STEPS if step.word in {"ARG", "ENV"} for name in re.findall(r"(\w+)=", step.rest)}
    assert names == {"PYTHON", "PATH", "PYTHONDONTWRITEBYTECODE", "APP_ENV", "APP_FILES__FOLDER"}
    assert [step for step in STEPS if step.word == "ADD"] == []


def test_who_runs_what() -> None:
    """A user by number without rights, the server on port 8000, the signal that the processes know."""
    assert words("USER") == ["10001:10001"]
    assert words("ENTRYPOINT") == ['["app"]']
    assert words("CMD") == ['["serve", "--host", "0.0.0.0", "--port", "8000"]']
    assert (words("EXPOSE"), words("STOPSIGNAL")) == (["8000"], ["SIGTERM"])
    assert "/core/health/live" in words("HEALTHCHECK")[0]


@pytest.mark.skipif(
    "GROUNDPLAN_TEST_IMAGE" not in os.environ,
    reason="set GROUNDPLAN_TEST_IMAGE=1: it installs an environment as the image does",
)
def test_the_steps_make_an_application(tmp_path: Path, figure: Figure) -> None:
    """Done in a folder, they leave an environment of runtime dependencies alone, in which every process starts."""
    place = tmp_path / FOLDER.strip("/")
    (place / "app").mkdir(parents=True)
    for step in STEPS:
        if step.stage == 0:
            follow(step, place)
    files = [path for path in place.joinpath("venv").rglob("*") if path.is_file()]
    figure(f"the image's environment: {sum(path.stat().st_size for path in files) / 1e6:.0f} MB")
    assert not (place / "venv/bin/pip").exists()
    assert "Usage: app COMMAND" in run(place, f"{FOLDER}/venv/bin/app --help")
    assert "/api/v1/projects" in run(place, f"{FOLDER}/venv/bin/app openapi")
    assert "create role app_rw" in run(place, f"{FOLDER}/venv/bin/app migrate --sql")
    imported = run(place, f"{FOLDER}/venv/bin/python -c 'import app.asgi, sys; print(*sys.modules)'")
    assert "app.main" in imported.split()
    assert {"app.embedded", "pytest", "hatchling", "pip"} & set(imported.split()) == set()


def follow(step: Step, place: Path) -> None:
    """Do what an instruction of the first stage says, in a folder."""
    if step.word == "RUN":
        run(place, step.rest)
    elif step.word == "COPY":
        *sources, target = step.rest.split()
        for source in sources:
            for name in context(ROOT):
                if name == source or name.startswith(f"{source}/"):
                    kept = Path(name).relative_to(source) if name != source else Path(Path(name).name)
                    path = place / "app" / target / kept
                    path.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, path)
    else:
        assert step.word in {"FROM", "WORKDIR"}


def run(place: Path, command: str) -> str:
    """Run a command where the image's folder is another one; return what it said."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APP_")}
    own = {
        "APP_ENV": "production",
        "APP_DATABASE__URL": "postgresql+asyncpg://app_rw@database/app",
        "APP_AUTH__SIGNING_KEYS": '["a key of this test, which nobody else knows"]',
        "APP_MAIL__FOLDER": "mails",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    found = subprocess.run(  # noqa: S602 - our own file's
        command.replace(f"{FOLDER}/", f"{place}/"),
        shell=True,
        cwd=place / "app",
        env={**inherited, **own},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout
