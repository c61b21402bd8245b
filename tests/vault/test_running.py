"""What a running process does for its token, and what it says when Vault leaves it."""

import asyncio
import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from app.extensions.vault import looking_after_vault
from app.sections import SettingsError
from app.vault import Vault, VaultError
from tests.vault.conftest import Bao, Boot

Lines = Callable[[], list[dict[str, Any]]]


def account_token(name: str) -> str:
    """Return a token as a pod has it; Vault reads whose it is, and leaves its signature to the API server."""
    account = {"namespace": "plan", "serviceaccount": {"name": name, "uid": "7"}}
    claims = {
        "iss": "cluster",
        "sub": f"system:serviceaccount:plan:{name}",
        "iat": 1,
        "nbf": 1,
        "exp": 2**32,
        "kubernetes.io": account,
    }
    parts = (json.dumps({"alg": "RS256"}).encode(), json.dumps(claims).encode(), b"signature")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


ACCOUNT = account_token("api")


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    """Return what returns the log's lines since the test began."""
    found: list[dict[str, Any]] = []

    def read() -> list[dict[str, Any]]:
        found.extend(json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{"))
        return found

    return read


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Return when a condition holds; fail after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


class TokenReview(BaseHTTPRequestHandler):
    """As much of an API server of Kubernetes as knows one service account."""

    def do_POST(self) -> None:
        """Answer who a token belongs to."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status: dict[str, Any] = {"authenticated": False}
        if self.path == "/apis/authentication.k8s.io/v1/tokenreviews" and asked["spec"]["token"] == ACCOUNT:
            user = {"username": "system:serviceaccount:plan:api", "uid": "7", "groups": ["system:serviceaccounts"]}
            status = {"authenticated": True, "user": user}
        body = json.dumps({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "status": status}).encode()
        self.send_response(201)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cluster_login(bao: Bao) -> Iterator[str]:
    """Turn the Kubernetes sign-in on, before an API server of the tests; yield where it is."""
    with ThreadingHTTPServer(("127.0.0.1", 0), TokenReview) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        bao.admin.sys.enable_auth_method("kubernetes", path="clusters/one")
        bao.admin.auth.kubernetes.configure(
            f"http://127.0.0.1:{server.server_port}",
            token_reviewer_jwt="reviewer",
            kubernetes_ca_cert=Path(bao.ca_file).read_text(),
            disable_local_ca_jwt=True,
            mount_point="clusters/one",
        )
        yield "clusters/one"
        bao.admin.sys.disable_auth_method("clusters/one")
        server.shutdown()


def opened(boot: Boot, path: str, **options: str) -> Vault:
    """Return the Vault that a boot has left open."""
    found = boot(path, **options).opened
    assert found is not None
    return found


async def test_a_token_is_renewed_while_the_process_runs(bao: Bao, boot: Boot) -> None:
    """Outlive the token's own time, and leave it to its end afterwards."""
    path = bao.put(project_name="Plan")
    token = bao.token(path, ttl="3s")
    began, settings = time.monotonic(), boot(path, token=token)
    async with looking_after_vault(settings):
        await until(lambda: time.monotonic() > began + 4)
        assert bao.admin.auth.token.lookup(token)["data"]["ttl"] > 0
    assert settings.opened is not None
    assert settings.opened.left > 0


async def test_tells_of_a_seal_and_of_a_rotated_secret(bao: Bao, boot: Boot, lines: Lines) -> None:
    """Go on while Vault is sealed, say so, say when it is back, and say once that a secret has changed."""
    path = bao.put(project_name="hunter2")
    settings = boot(path, look_seconds="0.1", token=bao.token(path, ttl="1h"))

    def said(event: str) -> list[dict[str, Any]]:
        return [line for line in lines() if line["event"] == event]

    async with looking_after_vault(settings):
        bao.seal()
        try:
            await until(lambda: said("vault_token_not_renewed"))
        finally:
            bao.unseal()
        await until(lambda: said("vault_token_renewed_again"))
        bao.write(path, {"project_name": "hunter3"})
        await until(lambda: said("vault_secret_rotated"))
        bao.write(path, {"project_name": "hunter4"})
        await until(lambda: len(said("vault_secret_rotated")) == 2)
    assert "is sealed" in said("vault_token_not_renewed")[0]["error"]
    assert 3500 < said("vault_token_not_renewed")[0]["seconds_left"] <= 3600
    assert [line["version"] for line in said("vault_secret_rotated")] == [2, 3]
    assert settings.project_name == "hunter2"
    assert "hunter" not in json.dumps(lines())


async def test_tells_that_a_token_was_revoked(bao: Bao, boot: Boot, lines: Lines) -> None:
    """Say so on each look, and go on."""
    path = bao.put(project_name="Plan")
    token = bao.token(path, ttl="1h")
    async with looking_after_vault(boot(path, look_seconds="0.1", token=token)):
        bao.admin.auth.token.revoke(token)
        await until(lambda: len(lines()) >= 2)
    assert "does not renew the token, which has ended or was revoked" in lines()[0]["error"]


def test_signs_in_with_the_service_account(bao: Bao, boot: Boot, cluster_login: str, tmp_path: Path) -> None:
    """Read by a role of Kubernetes; sign in anew when the token is near its end, or is gone; refuse strangers."""
    path, account = bao.put(project_name="Plan"), tmp_path / "token"
    bao.admin.sys.create_or_update_policy("plan", f'path "secret/data/{path}" {{capabilities = ["read"]}}')
    role = {"bound_service_account_names": "api", "bound_service_account_namespaces": "plan", "token_policies": "plan"}
    bao.admin.write_data(f"auth/{cluster_login}/role/plan", data=role | {"token_ttl": "1h", "token_max_ttl": "2h"})
    options = {"role": "plan", "kubernetes_mount": cluster_login, "kubernetes_token_file": str(account)}
    account.write_text(f"{ACCOUNT}\n")
    vault = opened(boot, path, **options)
    assert vault.secret == {"project_name": "Plan"}
    assert 3500 < vault.left <= 3600
    first = vault.client.token
    vault.renew()
    assert vault.client.token == first
    vault.ends_at = time.monotonic() + 60
    vault.renew()
    assert vault.client.token != first
    bao.admin.auth.token.revoke(vault.client.token)
    vault.renew()
    assert vault.read()[1] == 1
    account.write_text(account_token("other"))
    bao.admin.auth.token.revoke(vault.client.token)
    said = (
        rf"does not let this pod's service account in as role plan: see vault.role, and auth/{cluster_login}/role/plan"
    )
    with pytest.raises(VaultError, match=said):
        vault.renew()
    with pytest.raises(SettingsError, match=said):
        boot(path, **options)
    with pytest.raises(SettingsError, match="as role other"):
        boot(path, **{**options, "role": "other"})
