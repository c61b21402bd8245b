"""The settings: one validated, typed and frozen object, read once, when this module is imported.

`from app.config import settings`, then `settings.project_name`, `settings.PROJECT_NAME` and
`settings["PROJECT_NAME"]` are the same value; mypy knows the lower-case spelling. From weakest to strongest:
`settings.toml`, `.secrets.toml`, Vault, `.env`, and environment variables (`APP_DATABASE__URL` is `database.url`).
In each file `[default]` comes first, then the section that `APP_ENV` names. Whatever is wrong stops the boot
with one line that names the key and the place it was looked for, and never a value, which may be a secret.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, overload

from pydantic import Field, PrivateAttr, SecretStr, ValidationError

from app.sections import (
    KEY_LENGTH,
    AuditSettings,
    AuthSettings,
    BillingSettings,
    BrokerSettings,
    DatabaseSettings,
    FileSettings,
    LimitSettings,
    LogSettings,
    MailSettings,
    Section,
    ServerSettings,
    SettingsError,
    Switch,
    TaskSettings,
    TenantSettings,
    VaultSettings,
)
from app.sources import FILES, Environment, Origin, Sources, find_root, nearest, process_environment, variable

if TYPE_CHECKING:  # it imports hvac, which only those need who have a Vault
    from app.vault import Vault

AddressKey = Literal["database.url", "database.worker_url", "database.relay_url", "database.migrate_url"]
PLAIN = re.compile(r"http://(?!(localhost|127\.0\.0\.1|\[::1\])(:|$))")
SECRETS = ("broker.url", "mail.smtp_password", "files.s3_secret_key", "billing.stripe_key", "billing.webhook_secret")
"""What need not be set; if it is, an example's word will not do."""
MEMORY = {
    "mail.transport": "smtp (with APP_MAIL__SMTP_HOST), ses, or file (with APP_MAIL__FOLDER)",
    "files.store": "folder (with APP_FILES__FOLDER) or s3 (with APP_FILES__S3_BUCKET)",
}
"""What may be `memory`, where all ends with the process, and what it may be in production."""
PLACEHOLDER = re.compile(
    r"(?<![a-z])change[ _-]?me(?![a-z])|placeholder|<[\w -]+>|^(secret|example|your)", re.IGNORECASE
)


class Settings(Section):
    """Everything that differs from one installation to the next."""

    env: Environment
    project_name: str = Field("Groundplan", min_length=1, max_length=100)
    validate_responses: Switch = Field(default_factory=lambda data: data.get("env") != "production")
    database: DatabaseSettings = Field(default_factory=DatabaseSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    auth: AuthSettings = Field(default_factory=AuthSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    server: ServerSettings = Field(default_factory=ServerSettings)
    tasks: TaskSettings = Field(default_factory=TaskSettings)
    tenants: TenantSettings = Field(default_factory=TenantSettings)
    mail: MailSettings = Field(default_factory=MailSettings)
    audit: AuditSettings = Field(default_factory=AuditSettings)
    files: FileSettings = Field(default_factory=FileSettings)
    billing: BillingSettings = Field(default_factory=BillingSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    vault: VaultSettings = Field(default_factory=VaultSettings)
    _origins: Mapping[str, Origin] = PrivateAttr(default_factory=dict)
    _opened: "Vault | None" = PrivateAttr(default=None)

    @property
    def origins(self) -> Mapping[str, Origin]:
        """The place of each key that is set anywhere."""
        return self._origins

    @property
    def opened(self) -> "Vault | None":
        """The Vault that these settings were read from, if there is one, for its token to be renewed."""
        return self._opened

    def with_sources(self, origins: Mapping[str, Origin], opened: "Vault | None") -> Self:
        """Return the settings, and let them know where they came from."""
        self._origins, self._opened = origins, opened
        return self

    @overload
    def need(self, key: AddressKey) -> str: ...
    @overload
    def need(self, key: Literal["broker.url"]) -> str: ...
    @overload
    def need(self, key: Literal["auth.signing_keys"]) -> tuple[SecretStr, ...]: ...
    def need(self, key: str) -> Any:
        """Return a setting that may be empty for the one who cannot do without, or raise SettingsError."""
        if value := self[key]:
            return value
        raise SettingsError(f"{key} is missing: {_advice(key, self.env)}")


def _known(model: type[Section], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, info in model.model_fields.items():
        yield f"{prefix}{name}", info.annotation
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _known(info.annotation, f"{prefix}{name}.")


# Every key that may be set, with its type. `env` is not one of them: only APP_ENV says it.
KNOWN: dict[str, Any] = {key: annotation for key, annotation in _known(Settings) if key != "env"}


def load(root: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read and check the settings of the project in `root`, or raise SettingsError.

    Without `root` the project is the current folder if that holds a settings.toml, else the folder of this
    package. `environ` takes the place of the process's environment, and leaves it as it was.
    """
    root = (root or find_root(Path(__file__).resolve().parent.parent)).absolute()
    with process_environment(root, environ):
        sources = Sources(root, KNOWN)
        vault = _validate({"vault": sources.data.get("vault", {})}, sources).vault
        if vault.address:
            if sources.env == "production" and PLAIN.match(vault.address):  # before a token is sent there
                place = sources.origins["vault.address"].place
                raise SettingsError(f"vault.address must be https in production ({place})")
            sources.open(vault)
    found = _validate(sources.data, sources).with_sources(sources.origins, sources.opened)
    _check_uploads(found)
    if found.env == "production":
        _check_production(found)
    return found


def _validate(data: Mapping[str, Any], sources: Sources) -> Settings:
    try:
        return Settings.model_validate({**data, "env": sources.env})
    except ValidationError as error:
        raise SettingsError(_explain(error, sources.origins)) from None


def _explain(error: ValidationError, origins: Mapping[str, Origin]) -> str:
    problems = [
        problem
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
        if problem["type"] != "default_factory_not_called"
    ]
    first = problems[0]
    key = ".".join(part for part in first["loc"] if isinstance(part, str))
    origin = next((origins[name] for name in (key, key.partition(".")[0]) if name in origins), None)
    place = f" ({origin.place})" if origin else ""
    more = f"; {len(problems) - 1} more after this one" if len(problems) > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"unknown key {key}{place}: {nearest(key, KNOWN)}{more}"
    said = "must be a table of keys" if first["type"] == "model_type" else first["msg"]
    said = re.sub(r"^\w+ should ", "must ", said.removeprefix("Value error, "))
    return f"{key} {said}{place}{more}"


def _check_uploads(found: Settings) -> None:
    """Refuse to remove, as abandoned, what may still be on its way."""
    longest, kept = "server.upload_seconds", "files.abandoned_seconds"
    if found[longest] >= found[kept]:
        places = "; ".join(f"{key}: {found.origins[key].place}" for key in (longest, kept) if key in found.origins)
        raise SettingsError(f"{longest} must be less than {kept} ({places})")


def _check_production(found: Settings) -> None:
    """Refuse a database that nobody named, a key that anybody can know, and mails and files that nobody will see."""
    secrets = {key: [found.need(key)] for key in get_args(AddressKey)}
    keys = [key.get_secret_value() for key in found.need("auth.signing_keys")]
    secrets["auth.signing_keys"] = keys
    secrets |= {key: [_plain(found[key])] for key in SECRETS if found[key]}
    for key, values in secrets.items():
        if any(PLACEHOLDER.search(value) for value in values):
            raise SettingsError(f"{key} is a placeholder ({_place(found, key)}): {_advice(key, found.env)}")
    if "*" in found.server.cors_origins:
        place = _place(found, "server.cors_origins")
        raise SettingsError(f"server.cors_origins must name each origin in production ({place})")
    if any(len(set(key)) < KEY_LENGTH // 4 for key in keys):
        raise SettingsError(f"auth.signing_keys repeats itself ({_place(found, 'auth.signing_keys')})")
    for key, better in MEMORY.items():
        if found[key] == "memory":
            advice = f"set environment variable {variable(key)} to {better}"
            raise SettingsError(f"{key} must not be memory in production ({_place(found, key)}): {advice}")


def _plain(value: str | SecretStr) -> str:
    return value if isinstance(value, str) else value.get_secret_value()


def _place(found: Settings, key: str) -> str:
    return found.origins[key].place if key in found.origins else "which it is unless set"


def _advice(key: str, env: str) -> str:
    section, _, name = key.rpartition(".")
    running = '; for what app dev runs: eval "$(app dev --env)"' if env == "development" else ""
    return f"set environment variable {variable(key)}, or {name} in [{env}.{section}] of {FILES[1]}{running}"


settings = load()
