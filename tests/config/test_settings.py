"""The settings, and every way in which they can be wrong."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.utils import is_valid_endpoint_url, is_valid_ipv6_endpoint_url
from pydantic import ValidationError

from app.config import KNOWN, Settings, load
from app.sections import SettingsError
from app.sources import FILES

PROJECT = Path(__file__).resolve().parents[2]
KEY, OLDER_KEY = "k3Vq9sZr0TfY7wLm2XcB8nHd4JgP6aEu", "Zp8Rk1WvN5sD0yQx7MfC3hTb9GjL2uEo"
URL = "postgresql+asyncpg://app_rw:p%40ss@db:5432/plan"
SECRETS = f"""
[production.database]
url = "{URL}"
[production.auth]
signing_keys = ["{KEY}"]
[production.mail]
folder = "mails"
"""
PRODUCTION = {
    "APP_ENV": "production",
    "APP_DATABASE__URL": URL,
    "APP_AUTH__SIGNING_KEYS": f'["{KEY}"]',
    "APP_MAIL__FOLDER": "mails",
}

Boot = Callable[..., Settings]


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    """Return a function that writes the files of a project and loads its settings under an environment."""

    def boot_project(
        settings: str | bytes | None = "",
        secrets: str | None = None,
        dotenv: str | None = None,
        **environ: str,
    ) -> Settings:
        for name, content in zip((*FILES, ".env"), (settings, secrets, dotenv), strict=True):
            if content is not None:
                (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        return load(tmp_path, environ)

    return boot_project


def refusal(boot: Boot, *files: str | bytes | None, **environ: str) -> str:
    """Return the one line with which a boot is refused."""
    with pytest.raises(SettingsError) as caught:
        boot(*files, **environ)
    line = str(caught.value)
    assert caught.value.code == line
    assert line.startswith("Settings: ")
    assert "\n" not in line
    return line


class TestReading:
    """What is read, from where, and what beats what."""

    def test_is_the_same_value_in_every_spelling(self, boot: Boot) -> None:
        """Answer to lower case, upper case and subscripts alike, in sections too."""
        settings = boot('[default]\nproject_name = "Plan"\n[default.database]\npool_size = 7\n')
        assert settings.project_name == settings["project_name"] == settings["PROJECT_NAME"] == "Plan"
        assert settings.PROJECT_NAME == "Plan"  # type: ignore[attr-defined]
        section: Any = settings.DATABASE  # type: ignore[attr-defined]
        assert section["pool_size"] == section.POOL_SIZE == settings["database.POOL_SIZE"] == 7
        assert section is settings.database is settings["DATABASE"]

    def test_knows_no_other_names(self, boot: Boot) -> None:
        """Raise what Python raises for an attribute or a key that is not there."""
        settings = boot()
        with pytest.raises(AttributeError, match="POOL"):
            _ = settings.POOL  # type: ignore[attr-defined]
        for name in ("pool", "database.pool", "project_name.upper", "model_config"):
            with pytest.raises(KeyError, match=name):
                _ = settings[name]

    def test_is_frozen(self, boot: Boot) -> None:
        """Refuse to be changed after the boot."""
        settings = boot()
        with pytest.raises(ValidationError, match="frozen"):
            settings.project_name = "Other"  # type: ignore[misc]
        with pytest.raises(ValidationError, match="frozen"):
            settings.database.pool_size = 1  # type: ignore[misc]

    def test_layers_in_their_order(self, boot: Boot) -> None:
        """Let the environment beat .env, that the secrets, those the settings, a section the default."""
        names = ("pool_size", "separate_pool_size", "lock_timeout", "pool_timeout", "idle_timeout")
        settings = "[default.database]\n" + "".join(f"{name} = 11\n" for name in names)
        settings += "[production.database]\n" + "".join(f"{name} = 12\n" for name in names[1:])
        secrets = SECRETS.replace("url", "".join(f"{name} = 13\n" for name in names[2:]) + "url")
        dotenv = "APP_DATABASE__POOL_TIMEOUT=14\nAPP_DATABASE__IDLE_TIMEOUT=14\nAPP_ENV=production\n"
        found = boot(settings, secrets, dotenv, APP_DATABASE__IDLE_TIMEOUT="15")
        assert found.env == "production"
        assert [found.database[name] for name in names] == [11, 12, 13, 14, 15]
        assert found.database.url == URL

    @pytest.mark.parametrize("name", ["APP_DATABASE__POOL_SIZE", "APP_DATABASE__pool_size", "APP_database__Pool_Size"])
    @pytest.mark.parametrize(
        "settings", ["", "[default.database]\npool_size = 3\n", "[default.DATABASE]\nPool_Size = 3\n"]
    )
    def test_names_are_the_same_in_any_case(self, boot: Boot, name: str, settings: str) -> None:
        """Find a nested key however a variable or a file writes it."""
        assert boot(settings, **{name: "21"}).database.pool_size == 21

    @pytest.mark.parametrize(
        "written",
        [f'["{KEY}", "{OLDER_KEY}"]', f'@json ["{KEY}", "{OLDER_KEY}"]', f"['{KEY}', '{OLDER_KEY}']"],
    )
    def test_a_list_replaces_weaker_ones(self, boot: Boot, written: str) -> None:
        """Sign with the first key of the strongest place, and forget the others."""
        weaker = [
            f'[default.auth]\nsigning_keys = ["{a * 40}", "{b * 40}", "{c * 40}"]\n' for a, b, c in ("abc", "def")
        ]
        found = boot(*weaker, APP_AUTH__SIGNING_KEYS=written)
        assert [key.get_secret_value() for key in found.auth.signing_keys] == [KEY, OLDER_KEY]
        kept = boot(*weaker).auth.signing_keys
        assert [key.get_secret_value()[0] for key in kept] == ["d", "e", "f"]

    def test_a_table_from_a_variable_replaces_weaker_lists_too(self, boot: Boot) -> None:
        """Merge a table that a variable holds as JSON, key by key."""
        settings = f'[default.auth]\nissuer = "me"\nsigning_keys = ["{"a" * 40}", "{"b" * 40}"]\n'
        found = boot(settings, APP_AUTH=f'@json {{"signing_keys": ["{KEY}"]}}')
        assert [key.get_secret_value() for key in found.auth.signing_keys] == [KEY]
        assert found.auth.issuer == "me"

    def test_one_key_needs_no_list(self, boot: Boot) -> None:
        """Take a bare text as a list of one, and an empty one as none."""
        assert len(boot(APP_AUTH__SIGNING_KEYS=KEY).auth.signing_keys) == 1
        assert boot(APP_AUTH__SIGNING_KEYS="").auth.signing_keys == ()

    @pytest.mark.parametrize("text", ["00123", "123", "0x1F", "1e5", "True", "2026-01-01", "1_000"])
    def test_a_text_stays_as_it_was_written(self, boot: Boot, text: str) -> None:
        """Keep a name or a key that looks like a number or a date."""
        assert boot(APP_PROJECT_NAME=text).project_name == text
        digits = "123456789012345678901234567890123456e10"
        assert boot(APP_AUTH__SIGNING_KEYS=digits).auth.signing_keys[0].get_secret_value() == digits

    def test_dynaconf_markers_work(self, boot: Boot, tmp_path: Path) -> None:
        """Read a key from a file that an orchestrator mounts, and a name from another variable."""
        (tmp_path / "key").write_text(KEY)
        settings = f'[default.auth]\nsigning_keys = ["@read_file {tmp_path / "key"}"]\n'
        found = boot(settings, APP_PROJECT_NAME="@format {env[TEAM]} plan", TEAM="Our")
        assert found.auth.signing_keys[0].get_secret_value() == KEY
        assert found.project_name == "Our plan"

    @pytest.mark.parametrize("text", ["true", "True", "1", "yes", "on"])
    def test_a_switch_takes_the_usual_words(self, boot: Boot, text: str) -> None:
        """Switch on by any of the words that people use."""
        assert boot(APP_DATABASE__POOLER=text).database.pooler is True

    def test_the_environment_is_left_as_it_was(self, boot: Boot) -> None:
        """Take back what was put into the process's environment for Dynaconf."""
        before = dict(os.environ)
        boot("", None, "APP_PROJECT_NAME=Plan\nOTHER_THING=1\n")
        assert dict(os.environ) == before

    def test_dotenv_is_read_in_the_project_only(self, tmp_path: Path) -> None:
        """Leave alone the .env and the settings of a folder above."""
        above, below = tmp_path, tmp_path / "below"
        below.mkdir()
        (above / ".env").write_text("APP_PROJECT_NAME=Above\n")
        (above / ".secrets.toml").write_text('[default]\nproject_name = "Above"\n')
        (below / "settings.toml").touch()
        assert load(below, {}).project_name == "Groundplan"

    def test_the_project_is_the_current_folder_or_the_packages(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Prefer a settings.toml in the current folder, and fall back to the one beside the package."""
        monkeypatch.chdir(tmp_path)
        assert load(environ={"APP_ENV": "testing"}).database.pool_size == 5
        (tmp_path / "settings.toml").write_text("[testing.database]\npool_size = 6\n")
        assert load(environ={"APP_ENV": "testing"}).database.pool_size == 6


class TestDefaults:
    """What holds where nothing is said."""

    @pytest.mark.parametrize(("env", "validates"), [("development", True), ("testing", True), ("production", False)])
    def test_follow_the_environment(self, boot: Boot, env: str, validates: bool) -> None:
        """Check served bodies everywhere but in production, unless told otherwise."""
        environ = PRODUCTION | {"APP_ENV": env}
        assert boot(**environ).validate_responses is validates
        assert boot(**environ, APP_VALIDATE_RESPONSES=str(not validates)).validate_responses is not validates

    def test_development_is_the_environment_unless_told(self, boot: Boot) -> None:
        """Start as development with no address and no keys, which `need` then asks for."""
        settings = boot()
        assert settings.env == "development"
        assert (settings.database.url, settings.auth.signing_keys) == ("", ())
        with pytest.raises(SettingsError) as caught:
            settings.need("database.url")
        assert str(caught.value) == (
            "Settings: database.url is missing: set environment variable APP_DATABASE__URL, "
            "or url in [development.database] of .secrets.toml; "
            'for what app dev runs: eval "$(app dev --env)"'
        )
        with pytest.raises(SettingsError, match=r"auth\.signing_keys is missing.*APP_AUTH__SIGNING_KEYS"):
            settings.need("auth.signing_keys")

    def test_need_returns_what_is_set(self, boot: Boot) -> None:
        """Hand out a value that is there."""
        assert boot(APP_DATABASE__URL=URL).need("database.url") == URL

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            (URL, "postgresql+asyncpg://app_worker:p%40ss@db:5432/plan"),
            (
                "postgresql+asyncpg://app_rw@/plan?host=/run/x",
                "postgresql+asyncpg://app_worker@/plan?host=/run/x",
            ),
            ("postgresql+asyncpg:///plan?host=/run/x", "postgresql+asyncpg://app_worker@/plan?host=/run/x"),
            ("postgresql+asyncpg://db/plan", "postgresql+asyncpg://app_worker@db/plan"),
            ("postgresql+asyncpg://a:b/c@[::1]:5/plan", "postgresql+asyncpg://app_worker:b/c@[::1]:5/plan"),
        ],
    )
    def test_addresses_follow_the_first(self, boot: Boot, url: str, expected: str) -> None:
        """Lead worker, relay and migrations to the same database under their own roles."""
        database = boot(APP_DATABASE__URL=url, APP_DATABASE__RELAY_URL="").database
        assert database.worker_url == expected
        assert database.relay_url == expected.replace("worker", "relay")
        assert database.migrate_url == expected.replace("worker", "migrator")

    def test_roles_carry_the_prefix(self, boot: Boot) -> None:
        """Name the roles after the prefix, and keep an address that was given."""
        environ = {
            "APP_DATABASE__URL": URL,
            "APP_DATABASE__ROLE_PREFIX": "plan",
            "APP_DATABASE__MIGRATE_URL": URL,
        }
        database = boot(**environ).database
        assert database.worker_url.startswith("postgresql+asyncpg://plan_worker:")
        assert database.migrate_url == URL

    def test_the_shipped_files_are_good(self) -> None:
        """Load the project's own settings.toml in each environment."""
        for env in ("development", "testing", "production"):
            assert load(PROJECT, PRODUCTION | {"APP_ENV": env}).env == env

    def test_production_shows_less(self) -> None:
        """Serve no documentation there, and tell browsers to stay with https."""
        shown = [load(PROJECT, {**PRODUCTION, "APP_ENV": env}).server for env in ("development", "production")]
        assert [(server.docs, server.hsts_seconds) for server in shown] == [(True, 0), (False, 31_536_000)]

    def test_the_shipped_settings_explain_every_key(self) -> None:
        """Mention each key that there is, so that nobody has to read the code for it."""
        text = (PROJECT / "settings.toml").read_text()
        assert [key for key in KNOWN if not re.search(rf"\b{key.rpartition('.')[2]}\b", text)] == []


class TestRefusals:
    """Everything that stops a boot, with the line that a person then reads."""

    @pytest.mark.parametrize("name", ["staging", "prod", "PRODUCTION", "production,testing", "", " "])
    def test_unknown_environment(self, boot: Boot, name: str) -> None:
        """Name the variable and the environments that there are, whoever set it."""
        expected = (
            "Settings: APP_ENV (environment variable or .env) names no environment; "
            "known are development, testing, production"
        )
        assert refusal(boot, APP_ENV=name) == expected
        assert refusal(boot, "", None, f"APP_ENV='{name}'\n") == expected

    @pytest.mark.parametrize(
        ("content", "key", "hint"),
        [
            ("[default]\nproject_nam = 'x'\n", "project_nam in [default]", "did you mean project_name?"),
            ("[testing]\nprojectname = 'x'\n", "projectname in [testing]", "did you mean project_name?"),
            (
                "[default.database]\npool_sise = 1\n",
                "database.pool_sise in [default]",
                "did you mean database.pool_size?",
            ),
            (
                "[production.database]\nPool = 1\n",
                "database.pool in [production]",
                "did you mean database.pooler?",
            ),
            ("[default.databse]\n", "databse in [default]", "did you mean database?"),
            (
                "[default]\nzzz = 1\n",
                "zzz in [default]",
                "known are audit, auth, billing, broker, database, files, limits, log, mail, project_name, server, "
                "tasks, tenants",
            ),
            ("[default]\nenv = 'testing'\n", "env in [default]", "known are audit"),
            ("[default.log.level]\ndeep = 1\n", "log.level.deep in [default]", "did you mean log.level?"),
        ],
    )
    def test_unknown_key_in_a_file(self, boot: Boot, content: str, key: str, hint: str) -> None:
        """Name the key, the section, the file and the nearest key, for sections of other environments too."""
        for files, name in (((content,), "settings.toml"), (("", content), ".secrets.toml")):
            line = refusal(boot, *files)
            assert f"unknown key {key} of /" in line
            assert f"/{name}: {hint}" in line

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("APP_PROJECTNAME", "did you mean APP_PROJECT_NAME?"),
            ("APP_DATABASE_URL", "did you mean APP_DATABASE__URL?"),
            ("APP_DATABASE__POOLSIZE", "did you mean APP_DATABASE__POOL_SIZE?"),
            ("APP_DATABASE__URL__HOST", "did you mean APP_DATABASE__URL?"),
            ("APP_PORT", "known are APP_AUDIT, APP_AUTH, APP_BILLING, APP_BROKER"),
            ("APP_", "known are APP_AUDIT, APP_AUTH, APP_BILLING, APP_BROKER"),
        ],
    )
    def test_unknown_variable(self, boot: Boot, name: str, hint: str) -> None:
        """Name the variable and the nearest one, also when it stands in .env."""
        for line in (refusal(boot, **{name: "8000"}), refusal(boot, "", None, f"{name}=8000\n")):
            assert line.startswith("Settings: unknown key ")
            assert f"(environment variable {name}): {hint}" in line

    def test_unknown_key_inside_json(self, boot: Boot) -> None:
        """Look into tables that a variable holds."""
        line = refusal(boot, APP_LOG='@json {"LEVL": "INFO"}')
        assert line == "Settings: unknown key log.levl (environment variable APP_LOG): did you mean APP_LOG__LEVEL?"

    def test_unknown_key_by_another_way(self, boot: Boot) -> None:
        """Refuse what comes in past the files and variables that are ours."""
        assert "unknown key surprise" in refusal(boot, DYNACONF_SURPRISE="1")

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("APP_PORT", "tcp://10.0.0.1:80"),
            ("APP_SERVICE_HOST", "10.0.0.1"),
            ("APP_SERVICE_PORT", "80"),
            ("APP_SERVICE_PORT_HTTP", "80"),
            ("APP_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("APP_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("APP_POSTGRES_SERVICE_HOST", "10.0.0.1"),
            ("APP_POSTGRES_PORT", "tcp://10.0.0.1:5432"),
        ],
    )
    def test_variables_of_kubernetes(self, boot: Boot, name: str, value: str) -> None:
        """Say where a variable comes from that nobody wrote, and how to be rid of it."""
        line = refusal(boot, **{name: value})
        assert line.startswith(f"Settings: environment variable {name} was set by Kubernetes for a Service:")
        assert "enableServiceLinks: false" in line
        assert value not in line

    @pytest.mark.parametrize(
        ("name", "value", "problem"),
        [
            ("database.pool_size", "many", "must be a valid integer"),
            ("database.pool_size", "", "must be a valid integer"),
            ("database.pool_size", "true", "must be a valid integer"),
            ("database.pool_size", "1.5", "must be a valid integer"),
            ("database.pool_size", "0", "must be greater than or equal to 1"),
            ("database.pool_timeout", "0", "must be greater than 0"),
            ("database.pool_timeout", "inf", "must be a finite number"),
            ("database.lock_timeout", "nan", "must be a finite number"),
            ("database.pooler", "perhaps", "must be a valid boolean"),
            ("database.role_prefix", "App", "must match pattern"),
            ("database.role_prefix", 'a"; drop', "must match pattern"),
            ("database.url", "mysql://root@db/x", "must begin with postgresql+asyncpg://"),
            ("database.url", "postgresql://root@db/x", "must begin with postgresql+asyncpg://"),
            ("database.worker_url", "sqlite://", "must begin with postgresql+asyncpg://"),
            ("broker.url", "valkey://somewhere", "must begin with redis://, rediss:// or unix://"),
            ("auth.access_token_seconds", "601", "must be less than or equal to 600"),
            ("auth.access_token_seconds", "59", "must be greater than or equal to 60"),
            ("auth.signing_keys", "short", "must have at least 32 characters"),
            ("auth.signing_keys", '[""]', "must have at least 32 characters"),
            ("auth.signing_keys", "[1, 2]", "must be a valid string"),
            ("auth.signing_keys", "@json {}", "must be a valid tuple"),
            ("auth.issuer", "", "must have at least 1 character"),
            ("server.body_limit", "99999999999", "must be less than or equal to"),
            ("server.head_limit", "1", "must be greater than or equal to 1024"),
            ("server.json_depth", "201", "must be less than or equal to 200"),
            ("server.cors_origins", "https://app.example.com/", "must match pattern"),
            ("server.cors_origins", '["https://*.example.com"]', "must match pattern"),
            ("server.cors_origins", "app.example.com", "must match pattern"),
            ("server.allowed_hosts", '["*"]', "must match pattern"),
            ("server.trusted_proxies", '["10.0.0.1", "proxy"]', "must be an address or a network"),
            ("server.trusted_proxies", "*", "must be an address or a network"),
            ("server.trusted_proxies", "10.0.0.1/8", "must be an address or a network"),
            ("limits.address", "many", "must match pattern"),
            ("limits.actor", "0/second", "must match pattern"),
            ("limits.sign_in", "10/0 minutes", "must match pattern"),
            ("limits.mail", "5/fortnight", "must match pattern"),
            ("log.level", "LOUD", "must be 'DEBUG', 'INFO'"),
            ("log.format", "xml", "must be 'json' or 'console'"),
            ("validate_responses", "2", "must be a valid boolean"),
            ("database", "somewhere", "must be a table of keys"),
            ("project_name", "@json []", "must be a valid string"),
        ],
    )
    def test_wrong_type_or_range(self, boot: Boot, name: str, value: str, problem: str) -> None:
        """Name the key, what it must be and where it was set."""
        variable = "APP_" + name.upper().replace(".", "__")
        line = refusal(boot, **{variable: value})
        assert line.startswith(f"Settings: {name} {problem}")
        assert f"(environment variable {variable})" in line

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("[default.database]\npool_size = '10'\n", "database.pool_size must be a valid integer"),
            ("[default]\nproject_name = 5\n", "project_name must be a valid string"),
            ("[default]\ndatabase = 5\n", "database must be a table of keys"),
            ("[default.auth]\nsigning_keys = 5\n", "auth.signing_keys must be a valid tuple"),
        ],
    )
    def test_wrong_type_in_a_file(self, boot: Boot, tmp_path: Path, content: str, problem: str) -> None:
        """Name the file and the section that hold the value."""
        assert refusal(boot, content) == f"Settings: {problem} ([default] of {tmp_path / 'settings.toml'})"

    @pytest.mark.parametrize(
        ("environ", "place"),
        [
            ({"APP_SERVER__UPLOAD_SECONDS": "7200"}, "server.upload_seconds: environment"),
            ({"APP_FILES__ABANDONED_SECONDS": "3600"}, "files.abandoned_seconds: environment"),
            ({"APP_SERVER__UPLOAD_SECONDS": "60.5", "APP_FILES__ABANDONED_SECONDS": "60"}, "server.upload_seconds: "),
        ],
    )
    def test_uploads_that_would_be_removed_on_their_way(self, boot: Boot, environ: dict[str, str], place: str) -> None:
        """Name both keys, and where they were set; an upload that is just quick enough passes."""
        line = refusal(boot, **environ)
        assert line.startswith(f"Settings: server.upload_seconds must be less than files.abandoned_seconds ({place}")
        assert boot(APP_SERVER__UPLOAD_SECONDS="59.9", APP_FILES__ABANDONED_SECONDS="60").files.abandoned_seconds == 60

    @pytest.mark.parametrize("key", ["files.s3_endpoint", "mail.ses_endpoint"])
    @pytest.mark.parametrize(
        ("endpoint", "good"),
        [
            *((text, True) for text in ("https://s3.eu.example.com", "http://127.0.0.1:9000/s3", "http://[::1]:9000")),
            *(
                (f"http://{text}", False)
                for text in ("", "-s3-", "my_minio:9000", "s3..test", "[::1", "s3:port", "s3:70000")
            ),
            *((text, False) for text in ("s3.test", "ftp://s3.test", "http://s3.test?x", "http://me:hunter2@s3.test")),
        ],
    )
    def test_endpoints(self, boot: Boot, key: str, endpoint: str, good: bool) -> None:
        """Refuse what the client would refuse with the first request; it knows everything that is let through."""
        environ = {"APP_" + key.upper().replace(".", "__"): endpoint}
        if good:
            assert boot(**environ)[key] == endpoint
            assert is_valid_endpoint_url(endpoint) or is_valid_ipv6_endpoint_url(endpoint)
        else:
            line = refusal(boot, **environ)
            assert line.startswith(f"Settings: {key} must be http:// or https:// and a host")
            assert "hunter2" not in line

    @pytest.mark.parametrize("half", ["S3_ACCESS_KEY", "S3_SECRET_KEY"])
    def test_half_a_key(self, boot: Boot, half: str) -> None:
        """Refuse it: nobody would look for the rest elsewhere."""
        line = refusal(boot, **{f"APP_FILES__{half}": "hunter2"})
        assert line.startswith("Settings: files.s3_secret_key must be set where files.s3_access_key is")
        assert "hunter2" not in line

    def test_tells_that_there_is_more(self, boot: Boot) -> None:
        """Show one problem, and say how many wait behind it."""
        line = refusal(boot, APP_DATABASE__POOL_SIZE="0", APP_LOG__FORMAT="xml", APP_PROJECT_NAME="")
        assert line.endswith("; 2 more after this one")

    @pytest.mark.parametrize(
        ("content", "problem"),
        [
            ("[default]\n\nproject_name = \n", "is not valid TOML: Invalid value (at line 3, column 16)"),
            (
                "[default]\na = 1\na = 2\n",
                "is not valid TOML: Cannot overwrite a value (at line 3, column 6)",
            ),
            (b"[default]\nproject_name = '\xff'\n", "is not UTF-8 text"),
            (
                "project_name = 'x'\n",
                ": project_name is no section; keys belong in one of [default], [development]",
            ),
            ("[prodution]\n", ": prodution is no section; keys belong in one of [default], [development]"),
            ("[app]\nproject_name = 'x'\n", ": app is no section"),
        ],
    )
    def test_malformed_file(self, boot: Boot, tmp_path: Path, content: str | bytes, problem: str) -> None:
        """Name the file, and the line where there is one."""
        line = refusal(boot, content)
        assert line.startswith(f"Settings: {tmp_path / 'settings.toml'}")
        assert problem in line

    def test_missing_settings_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Name the places where settings.toml was looked for."""
        with pytest.raises(SettingsError, match=re.escape(f"{tmp_path / 'settings.toml'} was not found")):
            load(tmp_path, {})
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("app.config.__file__", str(tmp_path / "lib" / "app" / "config.py"))
        with pytest.raises(SettingsError, match=re.escape(f"neither in {tmp_path} nor in {tmp_path / 'lib'}")):
            load(environ={})

    @pytest.mark.parametrize("name", FILES)
    def test_unreadable_file(self, boot: Boot, tmp_path: Path, name: str) -> None:
        """Say why a file cannot be read."""
        (tmp_path / name).mkdir()
        files = ("", None) if name == ".secrets.toml" else (None, None)
        assert refusal(boot, *files) == f"Settings: {tmp_path / name} cannot be read: Is a directory"

    @pytest.mark.parametrize("name", ["settings.toml", ".secrets.toml", ".env"])
    def test_forbidden_file(self, boot: Boot, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Say that a file may not be read, whoever runs the tests."""
        boot("", "", "")
        real = open

        def guarded(file: object, *args: object, **kwargs: object) -> object:
            if str(file).endswith(name):
                raise PermissionError(13, "Permission denied", str(file))
            return real(file, *args, **kwargs)  # type: ignore[call-overload]

        monkeypatch.setattr("io.open", guarded)
        monkeypatch.setattr("builtins.open", guarded)
        assert refusal(boot, None) == f"Settings: {tmp_path / name} cannot be read: Permission denied"

    @pytest.mark.parametrize("name", ["settings.local.toml", ".secrets.local.toml"])
    def test_local_file(self, boot: Boot, tmp_path: Path, name: str) -> None:
        """Refuse a file that Dynaconf would read by itself and let win."""
        (tmp_path / name).touch()
        assert f"{tmp_path / name} would take precedence unseen" in refusal(boot, "", "")

    def test_broken_dotenv(self, boot: Boot, tmp_path: Path) -> None:
        """Name a .env that is not text."""
        boot()
        (tmp_path / ".env").write_bytes(b"APP_PROJECT_NAME=\xff\n")
        assert refusal(boot) == f"Settings: {tmp_path / '.env'} is not UTF-8 text"

    @pytest.mark.parametrize("text", ["@int many", "@json {bad", "@format {env[NOT_SET]}", "@read_file /not/there"])
    def test_broken_marker(self, boot: Boot, text: str) -> None:
        """Name the variable with a marker that Dynaconf cannot follow, and not its text."""
        line = refusal(boot, APP_PROJECT_NAME=text)
        assert "look at APP_PROJECT_NAME" in line
        assert text.split()[1] not in line
        assert "look at settings.toml, .secrets.toml" in refusal(boot, f"[default]\nproject_name = '{text}'\n")


class TestProduction:
    """What production asks for, and nobody else."""

    @pytest.mark.parametrize(
        ("name", "key", "advice"),
        [
            ("APP_DATABASE__URL", "database.url", "url in [production.database] of .secrets.toml"),
            (
                "APP_AUTH__SIGNING_KEYS",
                "auth.signing_keys",
                "signing_keys in [production.auth] of .secrets.toml",
            ),
        ],
    )
    def test_missing_secret(self, boot: Boot, name: str, key: str, advice: str) -> None:
        """Say which one is missing and where it may stand, if it is empty too."""
        expected = f"Settings: {key} is missing: set environment variable {name}, or {advice}"
        assert refusal(boot, **{**PRODUCTION, name: ""}) == expected
        assert refusal(boot, **{other: text for other, text in PRODUCTION.items() if other != name}) == expected

    @pytest.mark.parametrize(
        "key",
        [
            "change-me-to-forty-eight-random-bytes-in-base64",
            "CHANGE ME before you go to production, please",
            "secret" + "-of-the-groundplan-application-9431",
            "<forty-eight random bytes in base64>",
            "this is a placeholder and nothing more",
            "your-own-signing-key-of-forty-characters",
        ],
    )
    def test_placeholder_key(self, boot: Boot, key: str) -> None:
        """Refuse a key that stands in examples, also as one of several, and never show it."""
        for written in (f'["{key}"]', f'["{KEY}", "{key}"]'):
            line = refusal(boot, **{**PRODUCTION, "APP_AUTH__SIGNING_KEYS": written})
            assert "auth.signing_keys is a placeholder (environment variable APP_AUTH__SIGNING_KEYS)" in line
            assert key not in line
        assert boot(APP_AUTH__SIGNING_KEYS=key).auth.signing_keys

    @pytest.mark.parametrize("key", ["secret" * 8, "x" * 64, "abcabcab" * 5])
    def test_repetitive_key(self, boot: Boot, key: str) -> None:
        """Refuse a key that a child could guess."""
        line = refusal(boot, **{**PRODUCTION, "APP_AUTH__SIGNING_KEYS": f'["{key}"]'})
        assert re.search("is a placeholder|repeats itself", line)

    @pytest.mark.parametrize("name", ["URL", "WORKER_URL", "RELAY_URL", "MIGRATE_URL"])
    def test_placeholder_address(self, boot: Boot, name: str) -> None:
        """Refuse an address with the example's password, whichever it is."""
        url = "postgresql+asyncpg://app_rw:change-me@db/plan"
        line = refusal(boot, **{**PRODUCTION, f"APP_DATABASE__{name}": url})
        assert line.startswith(f"Settings: database.{name.lower()} is a placeholder")
        assert url not in line
        line = refusal(boot, **PRODUCTION, APP_BROKER__URL="redis://:change-me@broker")
        assert line.startswith("Settings: broker.url is a placeholder")

    @pytest.mark.parametrize("name", ["MAIL__SMTP_PASSWORD", "FILES__S3_SECRET_KEY", "BILLING__STRIPE_KEY"])
    def test_placeholder_elsewhere(self, boot: Boot, name: str) -> None:
        """Refuse the example's word for what need not be set; a word that only has it inside is none."""
        access, hook = {"APP_FILES__S3_ACCESS_KEY": "x"}, {"APP_BILLING__WEBHOOK_SECRET": "whsec_x"}
        beside = {"FILES__S3_SECRET_KEY": access, "BILLING__STRIPE_KEY": hook}.get(name, {})
        line = refusal(boot, **PRODUCTION, **beside, **{f"APP_{name}": "change-me"})
        assert line.startswith(f"Settings: {name.lower().replace('__', '.')} is a placeholder")
        boot(**PRODUCTION | {"APP_DATABASE__URL": "postgresql+asyncpg://app_rw:p@db/exchange_metrics"})

    def test_placeholder_in_a_derived_address(self, boot: Boot) -> None:
        """Say so of an address that was put together from another setting."""
        line = refusal(boot, **PRODUCTION, APP_DATABASE__ROLE_PREFIX="placeholder")
        assert "is a placeholder" in line

    def test_keys_without_quotes(self, boot: Boot) -> None:
        """Refuse a list whose quotes a shell took away: it would be one long key, and sign everybody out."""
        line = refusal(boot, APP_AUTH__SIGNING_KEYS=f"[{KEY},{OLDER_KEY}]")
        assert line == (
            'Settings: auth.signing_keys must be one key, or a list of keys in double quotes: ["...", "..."] '
            "(environment variable APP_AUTH__SIGNING_KEYS)"
        )

    @pytest.mark.parametrize(
        ("environ", "place"),
        [
            ({"APP_MAIL__FOLDER": ""}, "which it is unless set"),
            ({"APP_MAIL__TRANSPORT": "memory"}, "environment variable APP_MAIL__TRANSPORT"),
        ],
    )
    def test_mails_to_nobody(self, boot: Boot, environ: dict[str, str], place: str) -> None:
        """Refuse to lose them, whether somebody said so or nobody said anything; a folder is said on purpose."""
        assert refusal(boot, **{**PRODUCTION, **environ}) == (
            f"Settings: mail.transport must not be memory in production ({place}): set environment variable "
            "APP_MAIL__TRANSPORT to smtp (with APP_MAIL__SMTP_HOST), ses, or file (with APP_MAIL__FOLDER)"
        )
        assert boot(**PRODUCTION).mail.transport == "file"

    def test_files_that_end_with_the_process(self, boot: Boot, tmp_path: Path) -> None:
        """Refuse to lose them; a folder is the default."""
        assert refusal(boot, '[production.files]\nstore = "memory"\n', **PRODUCTION) == (
            f"Settings: files.store must not be memory in production ([production] of {tmp_path / 'settings.toml'}): "
            "set environment variable APP_FILES__STORE to folder (with APP_FILES__FOLDER) or "
            "s3 (with APP_FILES__S3_BUCKET)"
        )
        assert boot(**PRODUCTION).files.store == "folder"

    def test_any_origin(self, boot: Boot) -> None:
        """Let every page call on a developer's machine alone."""
        assert boot(APP_SERVER__CORS_ORIGINS="*").server.cors_origins == ("*",)
        line = refusal(boot, **PRODUCTION, APP_SERVER__CORS_ORIGINS='["https://app.example.com", "*"]')
        assert line.startswith(
            "Settings: server.cors_origins must name each origin in production (environment variable "
        )

    def test_the_example_is_refused(self, boot: Boot) -> None:
        """Refuse the committed example as it stands, and take its keys one by one."""
        example = (PROJECT / ".secrets.toml.example").read_text()
        place = "is a placeholder ([production] of "
        assert f"database.url {place}" in refusal(boot, "", example, APP_ENV="production")
        line = refusal(boot, "", example, APP_ENV="production", APP_DATABASE__URL=URL)
        assert f"auth.signing_keys {place}" in line
        assert boot("", example).env == "development"

    def test_the_example_of_the_environment_is_good(self, boot: Boot) -> None:
        """Load the committed .env example, its comments taken off."""
        example = re.sub(r"^# (APP_)", r"\1", (PROJECT / ".env.example").read_text(), flags=re.MULTILINE)
        found = boot("", None, example)
        assert found.log.level == "DEBUG"
        assert len(found.auth.signing_keys) == 1


class TestSecrecy:
    """What nobody gets to read."""

    def test_nothing_secret_is_shown(self, boot: Boot) -> None:
        """Keep keys and addresses out of every form that ends up in a log."""
        settings = boot("", SECRETS, APP_ENV="production", APP_BROKER__URL="redis://:p%40ss@broker")
        for shown in (repr(settings), str(settings), f"{settings.database!r} {settings.auth} {settings.broker}"):
            assert KEY not in shown
            assert "p%40ss" not in shown
            assert "pool_size" in shown

    @pytest.mark.parametrize(
        "environ",
        [
            {"APP_DATABASE__URL": "mysql://root:hunter2hunter2@db/x"},
            {"APP_AUTH__SIGNING_KEYS": "hunter2hunter2"},
            {"APP_AUTH": "hunter2hunter2"},
            {"APP_AUTH": '@json {"signing_keys": {"a": "hunter2hunter2"}}'},
            {"APP_ENV": "hunter2hunter2"},
            {"APP_SIGNING_KEY": "hunter2hunter2"},
            {"APP_AUTH__SIGNING_KEYS": "@json hunter2hunter2"},
            {"APP_AUTH__SIGNING_KEYS": "@int hunter2hunter2"},
        ],
    )
    def test_no_refusal_repeats_a_value(self, boot: Boot, environ: dict[str, str]) -> None:
        """Say what is wrong with a value without saying the value."""
        assert "hunter2" not in refusal(boot, **environ)


def test_the_boot_stops_with_one_line() -> None:
    """End the process with a status and one line, and no traceback, when the module is imported."""
    environ = {"PATH": os.environ["PATH"], "APP_ENV": "production", "APP_DATABASE__URL": ""}
    command = [sys.executable, "-c", "import app.config"]
    done = subprocess.run(  # noqa: S603 - our own interpreter and text
        command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "Settings: database.url is missing: set environment variable APP_DATABASE__URL, "
        "or url in [production.database] of .secrets.toml"
    ]
