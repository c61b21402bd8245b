"""Settings from Vault (or OpenBao): one secret of a KV v2 engine, read once at boot, and the token it is read with.

Dynaconf calls `load` by the dotted path of this file, and only when an address is set: nobody else pays for the
import of hvac. Whatever fails is a `VaultError` of one line that says what to do, and holds no value of the secret.
"""

import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hvac
from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest, VaultDown, VaultNotInitialized
from hvac.exceptions import VaultError as Refusal
from pydantic import SecretStr
from requests import RequestException
from requests.exceptions import SSLError

ACCESS = "vault_access"
"""The name under which Dynaconf hands over how Vault is reached."""
OPENED = "vault_opened"
"""The name under which it then finds the open `Vault`."""


NAME = re.compile(r"\w+(\.\w+)*")
MEANINGS: dict[type[Refusal], str] = {
    VaultDown: "is sealed, or not ready: unseal it",
    VaultNotInitialized: "is not initialised: see `vault operator init`",
}
"""What a refusal means wherever it comes."""


class VaultError(ConnectionError):
    """Vault is away, sealed, or refuses."""


@dataclass
class Vault:
    """A secret of a KV v2 engine and the token that reads it; the fields are the keys of `[vault]` in the settings."""

    address: str
    mount: str
    path: str
    namespace: str
    token: SecretStr
    role: str
    kubernetes_mount: str
    kubernetes_token_file: str
    ca_file: str
    timeout: float
    look_seconds: float
    secret: Mapping[str, Any] = field(default_factory=dict, repr=False)
    version: int = 0
    """Which version of the secret was read."""
    granted: float = 0.0
    """Seconds that the token of a role was to live when it was new."""
    ends_at: float = math.inf
    """When it ends, by the monotonic clock."""
    renewable: bool = False

    def __post_init__(self) -> None:
        # hvac would take what is not given from VAULT_* in the environment and from ~/.vault-token.
        self.client = hvac.Client(
            url=self.address,
            token=self.token.get_secret_value(),
            verify=self.ca_file or True,
            timeout=self.timeout,
            namespace=self.namespace or None,
        )

    @property
    def place(self) -> str:
        """Where the secret is, for people."""
        return f"{self.mount}/{self.path} in Vault"

    @property
    def left(self) -> float:
        """Seconds that the token still lives."""
        return max(0.0, self.ends_at - time.monotonic())

    def open(self) -> None:
        """Sign in and read the secret."""
        if self.ca_file and not Path(self.ca_file).is_file():
            raise VaultError(f"vault.ca_file {self.ca_file} was not found")
        if self.role:
            self.sign_in()
        else:
            self.look_at_token()
        self.secret, self.version = self.read()

    def sign_in(self) -> None:
        """Get a token for the service account of this pod."""
        try:
            account = Path(self.kubernetes_token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise VaultError(
                f"vault.kubernetes_token_file {self.kubernetes_token_file} cannot be read ({type(error).__name__}): "
                "mount the service account's token, or set vault.token in place of vault.role"
            ) from None
        refused = (
            f"does not let this pod's service account in as role {self.role}: "
            f"see vault.role, and auth/{self.kubernetes_mount}/role/{self.role} there"
        )
        with self.asked({Forbidden: refused, InvalidRequest: refused, InvalidPath: refused}):
            answer = self.client.auth.kubernetes.login(self.role, account, mount_point=self.kubernetes_mount)
            self.note(answer["auth"], "lease_duration")
        self.granted = self.left

    def look_at_token(self) -> None:
        """Learn how long the token lives."""
        with self.asked({Forbidden: "does not know the token: vault.token is wrong, or has ended"}):
            self.note(self.client.auth.token.lookup_self()["data"], "ttl")

    def renew(self) -> None:
        """Have the token live on; with a role, sign in anew when it will not for long."""
        if self.role and self.left < self.granted / (4 if self.renewable else 2):
            self.sign_in()
            return
        try:
            self.extend()
        except VaultError:
            if not self.role:
                raise
            self.sign_in()

    def extend(self) -> None:
        """Renew the token, or at least learn how long one that cannot be renewed still lives."""
        if not self.renewable:
            self.look_at_token()
            return
        refused = "does not renew the token, which has ended or was revoked"
        with self.asked({Forbidden: refused, InvalidRequest: refused}):
            self.note(self.client.auth.token.renew_self()["auth"], "lease_duration")

    def note(self, token: Mapping[str, Any], duration: str) -> None:
        """Keep what Vault says of the token."""
        self.renewable = bool(token["renewable"])
        self.ends_at = time.monotonic() + token[duration] if token[duration] else math.inf

    def read(self) -> tuple[Mapping[str, Any], int]:
        """Return the secret as it is now, and its version."""
        place = f"{self.mount}/data/{self.path}"
        meanings = {
            Forbidden: f"does not let this token read {place}: its policy needs "
            f'path "{place}" {{capabilities = ["read"]}}',
            InvalidPath: f"has no secret at {place}: write it, or mend vault.path, "
            "or vault.mount, which must name a KV v2 engine",
        }
        with self.asked(meanings):
            answer = self.client.secrets.kv.v2.read_secret_version(
                self.path, mount_point=self.mount, raise_on_deleted_version=True
            )
            return answer["data"]["data"], answer["data"]["metadata"]["version"]

    @contextmanager
    def asked(self, meanings: Mapping[type[Refusal], str]) -> Iterator[None]:
        """Put what fails here into one line; `meanings` says what a refusal means here."""
        try:
            yield
        except Refusal as error:
            meaning = {**MEANINGS, **meanings}.get(type(error), "fails")
            said = "; ".join(error.errors or [type(error).__name__])
            raise VaultError(f"Vault at {self.address} {meaning} ({said})") from None
        except SSLError as error:
            raise VaultError(
                f"Vault at {self.address} has a certificate that is not trusted: "
                f"name the PEM file of its CA in vault.ca_file ({cause(error)})"
            ) from None
        except (RequestException, OSError) as error:
            raise VaultError(f"Vault at {self.address} does not answer ({cause(error)}): see vault.address") from None
        except (AttributeError, KeyError, TypeError):
            raise VaultError(f"{self.address} does not answer as Vault does: see vault.address") from None


def cause(error: Exception) -> str:
    """Return what lies at the bottom of a failed connection: the libraries say it last."""
    return str(error).rpartition(": ")[2].partition(" (_ssl")[0].strip("')\"")


def inert(value: Any) -> Any:
    """Return a value that Dynaconf takes as it is: it would carry out a text that begins with one of its markers."""
    if isinstance(value, dict):
        return {name: inert(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [inert(inner) for inner in value]
    return f" {value}" if isinstance(value, str) and value.startswith("@") else value


def load(obj: Any, env: str | None = None, silent: bool | None = None, key: str | None = None) -> None:  # noqa: ARG001, FBT001
    """Put the secret over the files and below the environment, whose loader comes next; called by Dynaconf."""
    vault = Vault(**dict(obj.get(ACCESS)))
    vault.open()
    obj.set(OPENED, vault)
    for name, value in vault.secret.items():
        # Any other is an unknown key, which is said where all keys are known.
        if NAME.fullmatch(name) and name.lower() not in {ACCESS, OPENED}:
            obj.set(name, inert(value), loader_identifier="vault", merge=True)
