"""The settings: one validated, typed and frozen object, read once, when this module is imported.

`from app.config import settings`, then `settings.project_name`, `settings.PROJECT_NAME` and
`settings["PROJECT_NAME"]` are the same value; mypy knows the lower-case spelling. From weakest to strongest:
`settings.toml`, `.secrets.toml`, Vault, `.env`, and environment variables (`APP_DATABASE__URL` is `database.url`).
In each file `[default]` comes first, then the section that `APP_ENV` names. Whatever is wrong stops the boot
with one line that names the key and the place it was looked for, and never a value, which may be a secret.
"""

import difflib
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args, get_origin, overload

from dynaconf import Dynaconf
from dynaconf.utils.parse_conf import parse_conf_data
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    Strict,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

if TYPE_CHECKING:  # it imports hvac, which only those need who have a Vault
    from app.vault import Vault

Environment = Literal["development", "testing", "production"]
AddressKey = Literal["database.url", "database.worker_url", "database.relay_url", "database.migrate_url"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)
FILES = ("settings.toml", ".secrets.toml")
PREFIX = "APP_"
SWITCHER = "APP_ENV"
KEY_LENGTH = 32
NAMED = r"^[\w.-]+(/[\w.-]+)*$"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NUMBERS = (int, float, bool)
ACCESS, OPENED = "vault_access", "vault_opened"  # how app/vault.py is told where to read, and what it leaves behind
ENVIRONMENT_LOADER, VAULT_LOADER = "dynaconf.loaders.env_loader", "app.vault"

# What Kubernetes sets in every pod for a Service whose name begins with `app`, as NAME=value.
KUBERNETES = re.compile(
    r"APP_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)=.*|APP_(\w+_)?PORT=\w+://.*"
)
PLAIN = re.compile(r"http://(?!(localhost|127\.0\.0\.1|\[::1\])(:|$))")
PLACEHOLDER = re.compile(r"change[ _-]?me|placeholder|<[\w -]+>|^(secret|example|your)", re.IGNORECASE)
# The user of a database address, told apart as SQLAlchemy does: a password may hold a slash.
DATABASE_USER = re.compile(r"^([\w+]+://)(?:[^:/@]*(:[^@]*)?@)?")


class SettingsError(SystemExit):
    """A setting is wrong or missing: uncaught, it prints its one line and ends the process with status 1."""

    def __init__(self, problem: str) -> None:
        super().__init__("Settings: " + " ".join(problem.split()))


class Section(BaseModel):
    """Parent of every part of the settings: closed, frozen, and readable in either case."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True)

    def __getitem__(self, name: str) -> Any:
        """Return a value by its name in either case; dots lead into sections (`database.url`)."""
        value: Any = self
        for part in name.lower().split("."):
            if not isinstance(value, Section) or part not in type(value).model_fields:
                raise KeyError(name)
            value = getattr(value, part)
        return value

    if not TYPE_CHECKING:  # mypy shall know no name but the declared ones, else it would accept every typo

        def __getattr__(self, name: str) -> Any:
            """Return the value of a name that is written in upper case."""
            if name.lower() != name and name.lower() in type(self).model_fields:
                return getattr(self, name.lower())
            return super().__getattr__(name)


def _check_address(value: str) -> str:
    if value and not re.fullmatch(r"postgresql\+asyncpg://\S+", value):
        raise ValueError("must begin with postgresql+asyncpg:// and hold no white space")
    return value


def _check_broker(value: str) -> str:
    if value and not re.fullmatch(r"(redis|rediss|unix)://\S+", value):
        raise ValueError("must begin with redis://, rediss:// or unix:// and hold no white space")
    return value


def _check_key(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < KEY_LENGTH:
        raise ValueError(f"must have at least {KEY_LENGTH} characters")
    return value


def _check_network(value: str) -> str:
    try:
        return str(ip_network(value)) if "/" in value else str(ip_address(value))
    except ValueError:
        raise ValueError("must be an address or a network, such as 10.0.0.7 or 10.0.0.0/8") from None


def _as_tuple(value: object) -> object:
    if isinstance(value, str):
        return (value,) if value else ()
    return tuple(value) if isinstance(value, list) else value


def _none_if_empty(value: object) -> object:
    return value or None


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


# An address may carry a password, so it is not shown.
Address = Annotated[str, Field(repr=False), AfterValidator(_check_address)]
BrokerAddress = Annotated[str, Field(repr=False), AfterValidator(_check_broker)]
SigningKeys = Annotated[tuple[Annotated[SecretStr, AfterValidator(_check_key)], ...], BeforeValidator(_as_tuple)]
Origins = Annotated[
    tuple[Annotated[str, Field(pattern=r"^(\*|https?://[a-z0-9.\[\]:-]+[a-z0-9\]])$")], ...], BeforeValidator(_as_tuple)
]
Hosts = Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9.\[\]:-]+$")], ...], BeforeValidator(_as_tuple)]
Queues = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,39}$")], ...],
    BeforeValidator(_as_tuple),
    Field(min_length=1),
]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_check_network)], ...], BeforeValidator(_as_tuple)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_none_if_empty)]
RetryDays = Annotated[tuple[Annotated[int, Field(ge=1, le=90)], ...], BeforeValidator(_as_tuple), Field(max_length=10)]
Rate = Annotated[str, Field(pattern=r"^([1-9]\d{0,8}/([1-9]\d{0,4} )?(second|minute|hour|day)s?)?$")]
Switch = Annotated[bool, Strict(strict=False)]
Transport = Literal["memory", "file", "smtp", "ses"]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]


def as_role(url: str, role: str) -> str:
    """Return the same address of a database for another role, the password left as it is."""
    return DATABASE_USER.sub(rf"\g<1>{role}\g<2>@", url)


class DatabaseSettings(Section):
    """How PostgreSQL is reached. Timeouts are seconds; an empty address means that none was given."""

    role_prefix: str = Field("app", pattern=r"^[a-z][a-z0-9_]{0,39}$")
    url: Address = ""
    worker_url: Address = Field("", validate_default=True)
    relay_url: Address = Field("", validate_default=True)
    migrate_url: Address = Field("", validate_default=True)
    pool_size: int = Field(10, ge=1, le=1000)
    separate_pool_size: int = Field(2, ge=1, le=100)
    pool_timeout: float = Field(3.0, gt=0, le=60)
    statement_timeout: float = Field(15.0, gt=0, le=3600)
    lock_timeout: float = Field(2.0, gt=0, le=3600)
    idle_timeout: float = Field(30.0, gt=0, le=3600)
    pooler: Switch = False

    @field_validator("worker_url", "relay_url", "migrate_url")
    @classmethod
    def default_to_url(cls, value: str, info: ValidationInfo) -> str:
        """Lead to the same place as `url`, under the role that the name says, unless one was given."""
        url, prefix = info.data.get("url", ""), info.data.get("role_prefix", "app")
        if value or not url:
            return value
        role = {"worker_url": "worker", "relay_url": "relay", "migrate_url": "migrator"}[info.field_name or ""]
        return as_role(url, f"{prefix}_{role}")


class BrokerSettings(Section):
    """Where Valkey or Redis is; an empty address means that there is none."""

    url: BrokerAddress = ""


class AuthSettings(Section):
    """How people are known again. The first key signs, all of them verify; durations are seconds."""

    signing_keys: SigningKeys = ()
    issuer: str = Field("groundplan", min_length=1)
    audience: str = Field("groundplan-api", min_length=1)
    access_token_seconds: int = Field(600, ge=60, le=600)
    refresh_token_seconds: int = Field(2_592_000, ge=3600, le=31_536_000)
    session_seconds: int = Field(7_776_000, ge=3600, le=63_072_000)
    console_seconds: int = Field(28_800, ge=300, le=86_400)
    console_idle_seconds: int = Field(1800, ge=60, le=86_400)
    kept_days: int = Field(30, ge=1, le=3650)
    refresh_grace_seconds: int = Field(30, ge=0, le=300)
    argon2_memory_kib: int = Field(19_456, ge=1024, le=4_194_304)
    argon2_iterations: int = Field(2, ge=1, le=20)
    argon2_parallelism: int = Field(1, ge=1, le=16)
    hash_workers: int = Field(2, ge=1, le=64)


class LimitSettings(Section):
    """How often something may happen, as `count/second` or `count/15 minutes`; empty means as often as you like."""

    address: Rate = "1000/second"
    actor: Rate = "3000/10 seconds"
    key: Rate = "3000/10 seconds"
    tenant: Rate = "10000/10 seconds"
    sign_in: Rate = "10/15 minutes"
    sign_in_address: Rate = "50/15 minutes"
    sign_in_account: Rate = "100/hour"
    mail: Rate = "5/hour"
    mail_recipient: Rate = "30/hour"
    mail_address: Rate = "50/hour"
    denied: Rate = "30/minute"


class ServerSettings(Section):
    """What a request may bring, in bytes, levels and seconds, whose word is trusted, and what is shown to whom."""

    head_limit: int = Field(32_768, ge=1024, le=1_048_576)
    head_seconds: float = Field(10.0, gt=0, le=3600)
    body_limit: int = Field(1_048_576, ge=1024, le=1_073_741_824)
    body_seconds: float = Field(20.0, gt=0, le=3600)
    upload_limit: int = Field(104_857_600, ge=1024, le=53_687_091_200)
    upload_seconds: float = Field(3600.0, gt=0, le=86_400)
    idempotency_seconds: int = Field(86_400, ge=60, le=2_592_000)
    json_depth: int = Field(32, ge=4, le=200)
    send_seconds: float = Field(30.0, gt=0, le=3600)
    notice_seconds: float = Field(0.0, ge=0, le=300)
    connections: int = Field(1000, ge=10, le=100_000)
    allowed_hosts: Hosts = ()
    cors_origins: Origins = ()
    hsts_seconds: int = Field(0, ge=0, le=63_072_000)
    docs: Switch = False
    console: Switch = False
    trusted_proxies: Networks = ()


class TaskSettings(Section):
    """How work that comes after a commit is done: by workers behind the broker, or inline, in the API's process.

    Durations are seconds; `queues` are served in their order.
    """

    mode: Literal["worker", "inline"] = "inline"
    queues: Queues = ("high", "default", "low")
    concurrency: int = Field(10, ge=1, le=1000)
    in_flight: int = Field(1000, ge=1, le=100_000)
    in_flight_tenant: int = Field(200, ge=1, le=100_000)
    poll_seconds: float = Field(1.0, ge=0.01, le=60)
    retry_seconds: float = Field(1.0, ge=0.01, le=3600)
    retry_longest_seconds: float = Field(600.0, ge=0.01, le=86_400)
    kept_hours: int = Field(168, ge=1, le=8760)


class TenantSettings(Section):
    """How long, in days, a deleted tenant can be brought back, and an invitation be accepted."""

    grace_days: int = Field(30, ge=0, le=3650)
    invitation_days: int = Field(7, ge=1, le=90)


class MailSettings(Section):
    """Who mails come from, how they leave, and the address of the pages that their links lead to.

    Unless `transport` says otherwise they are written to `folder`; without one they are kept in memory, where nobody
    but a test will read them.
    """

    sender: str = Field("Groundplan <no-reply@localhost>", min_length=3, max_length=320, pattern=r"^[^\r\n]+$")
    folder: str = ""
    smtp_host: str = Field("", pattern=r"^[A-Za-z0-9.:-]*$")
    smtp_port: int = Field(587, ge=1, le=65_535)
    smtp_tls: Literal["starttls", "implicit", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    ses_region: str = Field("", pattern=r"^[a-z0-9-]*$")
    ses_endpoint: str = Field("", pattern=r"^(https?://\S+)?$")
    ses_configuration_set: str = Field("", pattern=r"^[A-Za-z0-9_-]{0,64}$")
    timeout_seconds: float = Field(10.0, gt=0, le=25)
    transport: Transport = Field(default_factory=lambda data: "file" if data.get("folder") else "memory")
    delay_seconds: float = Field(1.0, ge=0, le=60)
    link_base: str = Field("http://127.0.0.1:8000", pattern=r"^https?://\S+[^\s/]$")

    @field_validator("smtp_tls")
    @classmethod
    def refuse_open_wire(cls, value: str, info: ValidationInfo) -> str:
        """Allow mails, and a password, to travel unencrypted on this machine alone."""
        if value == "none" and info.data.get("smtp_host") not in LOOPBACK:
            raise ValueError("must be starttls or implicit: none is for a server on this machine")
        return value

    @field_validator("transport")
    @classmethod
    def need_place(cls, value: str, info: ValidationInfo) -> str:
        """Refuse a transport that is not told where to."""
        needed = {"file": "folder", "smtp": "smtp_host"}.get(value)
        if needed and not info.data.get(needed):
            raise ValueError(f"must not be {value} without mail.{needed}")
        return value


class AuditSettings(Section):
    """How long, in seconds, until an entry is chained at the latest, and the file that holds the chains' ends."""

    chain_seconds: float = Field(1.0, gt=0, le=60)
    anchor: str = ""


class FileSettings(Section):
    """Where files are kept, how many bytes a tenant may have, and for how long what is theirs for a while.

    `kept_days` is for what the application writes itself, such as exports; other times are seconds.
    """

    store: Literal["folder", "memory", "s3"] = "folder"
    folder: str = Field(".data/files", min_length=1)
    s3_bucket: str = Field("", pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?$")
    s3_region: str = ""
    s3_endpoint: str = Field("", pattern=r"^(https?://\S+)?$")
    s3_access_key: str = Field("", repr=False)
    s3_secret_key: SecretStr = SecretStr("")
    tenant_quota: int = Field(10_737_418_240, ge=1024, le=1_125_899_906_842_624)
    link_seconds: int = Field(300, ge=10, le=604_800)
    abandoned_seconds: int = Field(7200, ge=60, le=604_800)
    kept_days: int = Field(7, ge=1, le=3650)


class BillingSettings(Section):
    """How customers of tenants are charged. Without a key nobody is, but in memory where it is not production.

    `retry_days` are the pauses between attempts to collect an invoice, `due_days` the time that one without a payment
    method has; `webhook_secret` verifies what Stripe tells.
    """

    stripe_key: OptionalSecret = None
    webhook_secret: OptionalSecret = Field(None, validate_default=True)
    stripe_url: str = Field("https://api.stripe.com", pattern=r"^https?://[^\s/]+$")
    timeout: float = Field(10.0, gt=0, le=60)
    due_days: int = Field(14, ge=0, le=365)
    retry_days: RetryDays = (1, 3, 7)

    @field_validator("webhook_secret")
    @classmethod
    def go_with_key(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        """Refuse a key alone: payments that are decided later would never be heard of."""
        if value is None and info.data.get("stripe_key") is not None:
            raise ValueError("must be set where billing.stripe_key is")
        return value


class LogSettings(Section):
    """How much is logged, and for whom: `json` for machines, `console` for people."""

    level: Level = "INFO"
    format: Literal["json", "console"] = "json"


class VaultSettings(Section):
    """Where Vault is, and who this process is there; without an address there is none. Durations are seconds."""

    address: str = Field("", pattern=r"^(https?://[^\s/@]+)?$")
    mount: str = Field("secret", pattern=NAMED)
    path: str = Field("groundplan", pattern=NAMED)
    namespace: str = ""
    token: SecretStr = SecretStr("")
    role: str = ""
    kubernetes_mount: str = Field("kubernetes", pattern=NAMED)
    kubernetes_token_file: str = "/var/run/secrets/kubernetes.io/serviceaccount/token"  # noqa: S105 - a place
    ca_file: str = ""
    timeout: float = Field(5.0, gt=0, le=60)
    look_seconds: float = Field(300.0, gt=0, le=3600)

    @model_validator(mode="after")
    def name_one_caller(self) -> Self:
        """Refuse an address without a way to sign in, or with two."""
        if self.address and bool(self.role) == bool(self.token.get_secret_value()):
            raise ValueError("needs either token, or role for a service account of Kubernetes, beside its address")
        return self


@dataclass(frozen=True)
class Origin:
    """The strongest place that sets a key, and what is written there."""

    kind: Literal["file", "secrets file", "Vault", "environment"]
    place: str
    value: object = field(repr=False)


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
    root = (root or _find_root()).absolute()
    files = {name: _read_file(root / name, required=name == FILES[0]) for name in FILES}
    with _process_environment(root, environ):
        data, variables = _read_dynaconf(root), dict(_variables())
        env = _find_environment(variables)
        origins = _find_origins(root, files, variables, env)
        vault, opened = _validate({"vault": data.get("vault", {})}, origins, env).vault, None
        if vault.address:
            if env == "production" and PLAIN.match(vault.address):  # before a token is sent there
                raise SettingsError(f"vault.address must be https in production ({origins['vault.address'].place})")
            data = _read_dynaconf(root, vault)
            opened = data.pop(OPENED)
            origins = _find_origins(root, files, variables, env, opened)
    found = _validate(data, origins, env).with_sources(origins, opened)
    if found.env == "production":
        _check_production(found, origins)
    return found


def _find_environment(variables: dict[str, str]) -> str:
    """Return the environment that was named, and take its variable away."""
    env = variables.pop(SWITCHER, ENVIRONMENTS[0])
    if env not in ENVIRONMENTS:
        known = ", ".join(ENVIRONMENTS)
        raise SettingsError(f"{SWITCHER} (environment variable or .env) names no environment; known are {known}")
    return env


def _validate(data: dict[str, Any], origins: Mapping[str, Origin], env: str) -> Settings:
    for key, origin in origins.items():
        _restore(data, key, origin)
    try:
        return Settings.model_validate({**data, "env": env})
    except ValidationError as error:
        raise SettingsError(_explain(error, origins)) from None


def _find_root() -> Path:
    here, package = Path.cwd(), Path(__file__).resolve().parent.parent
    for folder in (here, package):
        if (folder / FILES[0]).exists():
            return folder
    raise SettingsError(f"{FILES[0]} was not found, neither in {here} nor in {package}")


def _read_file(path: Path, *, required: bool) -> dict[str, Any]:
    """Parse a settings file and check its sections: Dynaconf passes over one that it does not know."""
    local = path.with_name(f"{path.stem}.local{path.suffix}")
    if local.exists():
        raise SettingsError(f"{local} would take precedence unseen: move its keys to {path} and remove it")
    try:
        sections = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise SettingsError(f"{path} was not found") from None
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    allowed = ("default", *ENVIRONMENTS)
    for name, content in sections.items():
        if name not in allowed or not isinstance(content, dict):
            raise SettingsError(f"{path}: {name} is no section; keys belong in one of [{'], ['.join(allowed)}]")
    return sections


@contextmanager
def _process_environment(root: Path, environ: Mapping[str, str] | None) -> Iterator[None]:
    """Let Dynaconf see `environ`, and find `.env` in `root` alone: it would look in every parent folder."""
    before = dict(os.environ)
    if environ is not None:
        os.environ.clear()
        os.environ.update(environ)
    os.environ["DOTENV_PATH_FOR_DYNACONF"] = str(root / ".env")
    try:
        yield
    finally:
        if environ is not None:
            os.environ.clear()
        os.environ.update(before)
        if "DOTENV_PATH_FOR_DYNACONF" not in before:
            os.environ.pop("DOTENV_PATH_FOR_DYNACONF", None)


def _read_dynaconf(root: Path, vault: VaultSettings | None = None) -> dict[str, Any]:
    """Return what Dynaconf makes of files, Vault and environment: names in lower case, its own keys left out."""
    try:
        layers = Dynaconf(
            settings_files=[str(root / name) for name in FILES],
            environments=True,
            env_switcher=SWITCHER,
            envvar_prefix=PREFIX.rstrip("_"),
            load_dotenv=True,
            merge_enabled=True,
            loaders=[VAULT_LOADER, ENVIRONMENT_LOADER] if vault else [ENVIRONMENT_LOADER],
            **{ACCESS: vault},
        )
        data: dict[str, Any] = _lower(layers.as_dict())
    except Exception as error:  # noqa: BLE001 - a marker such as @format fails with whatever it stumbles over
        raise SettingsError(_explain_reading(error, root)) from None
    return {name: value for name, value in data.items() if name not in {"env", "load_dotenv", "loaders", ACCESS}}


def _explain_reading(error: Exception, root: Path) -> str:
    if isinstance(error, ConnectionError):  # Vault's, and in words already
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename} cannot be read: {error.strerror}"
    if isinstance(error, UnicodeDecodeError):
        return f"{root / '.env'} is not UTF-8 text"
    marked = [name for name, text in _variables() if text.startswith("@")]
    return (
        f"a value that begins with @ (a marker of Dynaconf's) cannot be read ({type(error).__name__}); "
        f"look at {', '.join(marked or FILES)}"
    )


def _variables() -> Iterator[tuple[str, str]]:
    return ((name, text) for name, text in os.environ.items() if name.startswith(PREFIX))


def _lower(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name).lower(): _lower(inner) for name, inner in value.items()}
    return value


def _find_origins(
    root: Path,
    files: Mapping[str, Mapping[str, Any]],
    variables: Mapping[str, str],
    env: str,
    opened: "Vault | None" = None,
) -> dict[str, Origin]:
    """Return the strongest origin of each key that is set; refuse unknown ones, in every section."""
    origins = {}
    for name, sections in files.items():
        kind: Literal["file", "secrets file"] = "file" if name == FILES[0] else "secrets file"
        for section in ("default", *ENVIRONMENTS):
            for key, value in _flatten(sections.get(section, {})):
                place = f"[{section}] of {root / name}"
                if key not in KNOWN:
                    raise SettingsError(f"unknown key {key} in {place}: {_nearest(key)}")
                if section in ("default", env):
                    origins[key] = Origin(kind, place, value)
    if opened:
        origins |= _find_in_vault(opened)
    for name, text in variables.items():
        whole = name.removeprefix(PREFIX).replace("__", ".").lower()
        value = parse_conf_data(text, tomlfy=True)
        for key, leaf in _flatten({whole: value if isinstance(value, dict) else text}):
            if key not in KNOWN:
                raise SettingsError(_unknown_variable(name, key, text))
            origins[key] = Origin("environment", f"environment variable {name}", leaf)
    return origins


def _find_in_vault(opened: "Vault") -> Iterator[tuple[str, Origin]]:
    for key, value in _flatten(opened.secret):
        if key not in KNOWN:
            raise SettingsError(f"unknown key {key} ({opened.place}): {_nearest(key)}")
        if key.partition(".")[0] == "vault":
            raise SettingsError(f"{key} ({opened.place}) would be read too late: set it in a file or a variable")
        yield key, Origin("Vault", opened.place, _from_text(key, value))


def _from_text(key: str, value: object) -> object:
    """Return a number, a switch or a list that was written to Vault as text: its command line writes nothing else."""
    listed = get_origin(KNOWN[key]) is tuple
    if isinstance(value, str) and (KNOWN[key] in NUMBERS or (listed and value.startswith("["))):
        with suppress(ValueError):
            return json.loads(value)
    return value


def _flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        key = f"{prefix}{name.lower()}"
        if isinstance(value, dict) and value:
            yield from _flatten(value, f"{key}.")
        else:
            yield key, value


def _unknown_variable(name: str, key: str, text: str) -> str:
    if KUBERNETES.fullmatch(f"{name}={text}"):
        return (
            f"environment variable {name} was set by Kubernetes for a Service: "
            "say enableServiceLinks: false in the pod's spec, or rename the Service"
        )
    return f"unknown key {key} (environment variable {name}): {_nearest(key, _variable)}"


def _nearest(key: str, spell: Callable[[str], str] = str) -> str:
    near = difflib.get_close_matches(key, sorted(KNOWN), n=1, cutoff=0.5)
    if near:
        return f"did you mean {spell(near[0])}?"
    return f"known are {', '.join(spell(name) for name in sorted(KNOWN) if '.' not in name)}"


def _variable(key: str) -> str:
    return PREFIX + key.upper().replace(".", "__")


def _restore(data: dict[str, Any], key: str, origin: Origin) -> None:
    """Undo three habits of Dynaconf that would change what somebody wrote.

    It joins the lists of all layers, so that a retired signing key would come first; it reads a text of digits
    in a variable as a number; and it carries out a secret of Vault's that begins with a marker.
    """
    section, _, name = key.rpartition(".")
    table = data.get(section) if section else data
    if not isinstance(table, dict) or name not in table:
        return
    value = table[name]
    if origin.kind == "Vault":
        table[name] = origin.value
    elif isinstance(value, list):
        written = parse_conf_data(origin.value, tomlfy=isinstance(origin.value, str))
        if isinstance(written, list):
            table[name] = value[len(value) - len(written) :]
    elif isinstance(origin.value, str) and not isinstance(value, str | dict) and KNOWN[key] not in NUMBERS:
        table[name] = origin.value


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
        return f"unknown key {key}{place}: {_nearest(key)}{more}"
    said = "must be a table of keys" if first["type"] == "model_type" else first["msg"]
    said = re.sub(r"^\w+ should ", "must ", said.removeprefix("Value error, "))
    return f"{key} {said}{place}{more}"


def _check_production(found: Settings, origins: Mapping[str, Origin]) -> None:
    """Refuse to serve anybody with a database that nobody named, or with a key that anybody can know."""
    secrets = {key: [found.need(key)] for key in get_args(AddressKey)}
    keys = [key.get_secret_value() for key in found.need("auth.signing_keys")]
    secrets["auth.signing_keys"] = keys
    if found.broker.url:
        secrets["broker.url"] = [found.broker.url]
    for key, values in secrets.items():
        if any(PLACEHOLDER.search(value) for value in values):
            raise SettingsError(f"{key} is a placeholder ({origins[key].place}): {_advice(key, found.env)}")
    if "*" in found.server.cors_origins:
        place = origins["server.cors_origins"].place
        raise SettingsError(f"server.cors_origins must name each origin in production ({place})")
    if any(len(set(key)) < KEY_LENGTH // 4 for key in keys):
        raise SettingsError(f"auth.signing_keys repeats itself ({origins['auth.signing_keys'].place})")


def _advice(key: str, env: str) -> str:
    section, _, name = key.rpartition(".")
    return f"set environment variable {_variable(key)}, or {name} in [{env}.{section}] of {FILES[1]}"


settings = load()
