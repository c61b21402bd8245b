"""A boot with secrets from Vault, and everything that stops it."""

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.commands.check import origins
from app.config import KNOWN, load
from app.sections import SettingsError
from tests.support import free_port
from tests.vault.conftest import ROOT, Bao, Boot

KEY, OLDER_KEY = "k3Vq9sZr0TfY7wLm2XcB8nHd4JgP6aEu", "@format 8Rk1WvN5sD0yQx7MfC3hTb9GjL2uEo"
URL = "postgresql+asyncpg://app_rw:p%40ss@db:5432/plan"


class Stranger(BaseHTTPRequestHandler):
    """A server that is none of Vault's kind."""

    def do_GET(self) -> None:
        """Greet."""
        self.send_response(200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def refusal(boot: Boot, path: str, **options: str) -> str:
    """Return the one line with which a boot is refused."""
    with pytest.raises(SettingsError) as caught:
        boot(path, **options)
    line = str(caught.value)
    assert line.startswith("Settings: ")
    assert "\n" not in line
    assert not any(secret in line for secret in (ROOT, KEY, "hunter2"))
    return line


class TestReading:
    """What is read, and what beats it."""

    def test_reads_tables_names_and_texts(self, bao: Bao, boot: Boot) -> None:
        """Take nested tables, dotted names, and the texts that Vault's command line writes, markers left alone."""
        path = bao.put(
            **{"database.url": URL, "database.pool_size": "7", "server.docs": "true", "limits.mail": "9/hour"},
            auth={"signing_keys": [KEY, OLDER_KEY], "issuer": "@format {env[HOME]}"},
            server={"cors_origins": '["https://one.example", "https://two.example"]'},
        )
        found = boot(path)
        assert (found.database.url, found.database.pool_size, found.limits.mail) == (URL, 7, "9/hour")
        assert [key.get_secret_value() for key in found.auth.signing_keys] == [KEY, OLDER_KEY]
        assert found.auth.issuer == "@format {env[HOME]}"
        assert found.server.docs is True
        assert found.server.cors_origins == ("https://one.example", "https://two.example")

    def test_stands_between_files_and_environment(self, bao: Bao, boot: Boot, tmp_path: Path) -> None:
        """Beat the secrets file, and leave the last word to a variable; tell of each which place it was."""
        path = bao.put(**{"database.url": URL, "project_name": "hunter2", "auth": {"signing_keys": [KEY]}})
        (tmp_path / "settings.toml").write_text("[default.database]\npool_size = 3\n")
        (tmp_path / ".secrets.toml").write_text(
            '[default]\nproject_name = "File"\n[default.auth]\naudience = "file"\nsigning_keys = ["%s"]\n' % ("x" * 40)
        )
        found = boot(path, {"APP_DATABASE__URL": f"{URL}2"})
        assert (found.project_name, found.database.url) == ("hunter2", f"{URL}2")
        assert [key.get_secret_value() for key in found.auth.signing_keys] == [KEY]
        lines = list(origins(found))
        assert len(lines) == len(KNOWN) - len({key.partition(".")[0] for key in KNOWN if "." in key})
        told = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
        assert told["database.url"] == "environment environment variable APP_DATABASE__URL"
        assert told["project_name"] == f"Vault secret/{path} in Vault"
        assert told["auth.audience"] == f"secrets file [default.auth] of {tmp_path}/.secrets.toml".replace(".auth", "")
        assert told["database.pool_size"] == f"file [default] of {tmp_path}/settings.toml"
        assert told["database.lock_timeout"] == "default"
        assert not any(secret in "".join(lines) for secret in ("hunter2", KEY, URL, ROOT, "p%40ss"))

    def test_costs_nobody_else_anything(self) -> None:
        """Leave the client of Vault alone where there is no address."""
        code = "import sys, app.extensions.vault; sys.exit('hvac' in sys.modules)"
        environ = {"APP_ENV": "testing", "APP_AUTH__SIGNING_KEYS": KEY}
        subprocess.run([sys.executable, "-c", code], env=environ, check=True)  # noqa: S603 - our own program


class TestRefusals:
    """Everything that stops a boot, with the line that a person then reads."""

    @pytest.mark.parametrize(
        ("secret", "said"),
        [
            ({"database.pool_size": "hunter2"}, "database.pool_size must be a valid integer (secret/{} in Vault)"),
            ({"database": "hunter2"}, "database must be a table of keys (secret/{} in Vault)"),
            ({"project_name": ["hunter2"]}, "project_name must be a valid string (secret/{} in Vault)"),
            (
                {"database": {"pasword": "hunter2"}},
                "unknown key database.pasword (secret/{} in Vault): did you mean database",
            ),
            ({"a key[0": "hunter2"}, "unknown key a key[0 (secret/{} in Vault)"),
            ({"Vault_Opened": "hunter2"}, "unknown key vault_opened (secret/{} in Vault)"),
            ({"vault_access": {"address": "x"}}, "unknown key vault_access.address (secret/{} in Vault)"),
            (
                {"vault.address": "hunter2"},
                "vault.address (secret/{} in Vault) would be read too late: set it in a file",
            ),
        ],
    )
    def test_wrong_or_unknown_key(self, bao: Bao, boot: Boot, secret: dict[str, object], said: str) -> None:
        """Name the key and the secret it stands in."""
        path = bao.put(**secret)
        assert said.format(path) in refusal(boot, path)

    def test_missing_forbidden_and_unknown_token(self, bao: Bao, boot: Boot) -> None:
        """Name the path that is not there, the policy that is not given, the token that nobody knows."""
        path = bao.put(project_name="Plan")
        assert boot(path, token=bao.token(path)).project_name == "Plan"
        assert "has no secret at secret/data/other: write it, or mend vault.path" in refusal(boot, "other")
        assert "vault.mount, which must name a KV v2 engine" in refusal(boot, path, mount="cubbyhole")
        line = refusal(boot, path, token=bao.token("other"))
        assert f'its policy needs path "secret/data/{path}" {{capabilities = ["read"]}}' in line
        assert "vault.token is wrong, or has ended" in refusal(boot, path, token="hunter2")
        bao.admin.secrets.kv.v2.delete_latest_version_of_secret(path)
        assert f"has no secret at secret/data/{path}" in refusal(boot, path)

    def test_sealed(self, bao: Bao, boot: Boot) -> None:
        """Say that it is sealed, and what to do."""
        path = bao.put(project_name="Plan")
        bao.seal()
        try:
            assert f"Vault at {bao.address} is sealed, or not ready: unseal it (" in refusal(boot, path)
        finally:
            bao.unseal()
        assert boot(path).project_name == "Plan"

    def test_away_or_somebody_else(self, boot: Boot, tmp_path: Path) -> None:
        """Name the address, and a certificate that nobody vouches for."""
        nowhere = f"https://127.0.0.1:{free_port()}"
        line = refusal(boot, "x", address=nowhere)
        assert (
            line == f"Settings: Vault at {nowhere} does not answer ([Errno 111] Connection refused): see vault.address"
        )
        line = refusal(boot, "x", ca_file="")
        assert "has a certificate that is not trusted: name the PEM file of its CA in vault.ca_file" in line
        assert f"vault.ca_file {tmp_path}/none.pem was not found" in refusal(boot, "x", ca_file=f"{tmp_path}/none.pem")
        with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stranger = f"http://127.0.0.1:{server.server_port}"
            assert f"{stranger} does not answer as Vault does" in refusal(boot, "x", address=stranger)
            server.shutdown()

    def test_settings_of_vault_itself(self, boot: Boot, tmp_path: Path) -> None:
        """Ask for one way to sign in, and for https in production."""
        for options in ({"token": ""}, {"role": "plan", "token": "hunter2"}):
            assert "vault needs either token, or role for a service account" in refusal(boot, "x", **options)
        environ = {"APP_ENV": "production", "APP_DATABASE__URL": URL, "APP_AUTH__SIGNING_KEYS": KEY}
        (tmp_path / ".secrets.toml").write_text('[default.vault]\naddress = "http://vault"\n')
        with pytest.raises(SettingsError, match="address must be https in production"):
            load(tmp_path, {"APP_VAULT__TOKEN": "hunter2"} | environ)
        assert "vault.address" in refusal(boot, "x", address="vault.internal:8200")
        assert "vault.kubernetes_token_file" in refusal(
            boot, "x", role="plan", kubernetes_token_file=str(tmp_path / "none")
        )

    def test_an_unused_section_asks_nobody(self, tmp_path: Path) -> None:
        """Boot without an address, whatever else the section says."""
        (tmp_path / "settings.toml").write_text('[default.vault]\nrole = "plan"\n')
        assert load(tmp_path, {}).opened is None
