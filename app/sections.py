"""The sections of the settings: what may be set, with types, ranges and defaults. `app.config` reads them."""

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    ValidationInfo,
    field_validator,
    model_validator,
)

KEY_LENGTH = 32
NAMED = r"^[\w.-]+(/[\w.-]+)*$"
HOST = re.compile(r"(?=.{1,253}$)((?!-)[a-z0-9-]{1,63}(?<!-)\.)*(?!-)[a-z0-9-]{1,63}(?<!-)\.?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
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


def _check_endpoint(value: str) -> str:
    """Refuse what the clients of AWS would refuse, but only when they are used, and a name that links would show."""
    if not value:
        return value
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname or "", parts.port  # a port that is none raises, as an address does
        good = parts.scheme in {"http", "https"} and bool(HOST.fullmatch(host) or ip_address(host))
    except ValueError:
        good = False
    if not good or re.search(r"[\s@?#]", value):
        raise ValueError("must be http:// or https:// and a host, with its port and a path if it has them")
    return value


def _as_keys(value: object) -> object:
    """Take one key, or a list; a list whose quotes a shell took away would be one long key."""
    if isinstance(value, str) and value.startswith("["):
        raise ValueError('must be one key, or a list of keys in double quotes: ["...", "..."]')
    return _as_tuple(value)


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
SigningKeys = Annotated[tuple[Annotated[SecretStr, AfterValidator(_check_key)], ...], BeforeValidator(_as_keys)]
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
Endpoint = Annotated[str, AfterValidator(_check_endpoint)]
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
    ses_endpoint: Endpoint = ""
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
    s3_region: str = Field("", pattern=r"^([A-Za-z0-9][A-Za-z0-9-]{0,62})?$")
    s3_endpoint: Endpoint = ""
    s3_access_key: str = Field("", repr=False)
    s3_secret_key: SecretStr = Field(SecretStr(""), validate_default=True)
    tenant_quota: int = Field(10_737_418_240, ge=1024, le=1_125_899_906_842_624)
    link_seconds: int = Field(300, ge=10, le=604_800)
    abandoned_seconds: int = Field(7200, ge=60, le=604_800)
    kept_days: int = Field(7, ge=1, le=3650)

    @field_validator("s3_secret_key")
    @classmethod
    def go_with_name(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        """Refuse half of a key: what is missing would not be looked for elsewhere."""
        if bool(value.get_secret_value()) != bool(info.data.get("s3_access_key", "")):
            raise ValueError("must be set where files.s3_access_key is, and only there")
        return value


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
