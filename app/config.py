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
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, get_args, get_origin, overload

from dynaconf import Dynaconf
from dynaconf.utils.parse_conf import parse_conf_data
from pydantic import (
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
)

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
    Switch,
    TaskSettings,
    TenantSettings,
    VaultSettings,
)

if TYPE_CHECKING:  # it imports hvac, which only those need who have a Vault
    from app.vault import Vault

Environment = Literal["development", "testing", "production"]
AddressKey = Literal["database.url", "database.worker_url", "database.relay_url", "database.migrate_url"]
ENVIRONMENTS: tuple[str, ...] = get_args(Environment)
FILES = ("settings.toml", ".secrets.toml")
PREFIX = "APP_"
SWITCHER = "APP_ENV"
NUMBERS = (int, float, bool)
ACCESS, OPENED = "vault_access", "vault_opened"  # how app/vault.py is told where to read, and what it leaves behind
ENVIRONMENT_LOADER, VAULT_LOADER = "dynaconf.loaders.env_loader", "app.vault"

# What Kubernetes sets in every pod for a Service whose name begins with `app`, as NAME=value.
KUBERNETES = re.compile(
    r"APP_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)=.*|APP_(\w+_)?PORT=\w+://.*"
)
PLAIN = re.compile(r"http://(?!(localhost|127\.0\.0\.1|\[::1\])(:|$))")
MEMORY = {
    "mail.transport": "smtp (with APP_MAIL__SMTP_HOST), ses, or file (with APP_MAIL__FOLDER)",
    "files.store": "folder (with APP_FILES__FOLDER) or s3 (with APP_FILES__S3_BUCKET)",
}
"""What may be `memory`, where all ends with the process, and what it may be in production."""
PLACEHOLDER = re.compile(r"change[ _-]?me|placeholder|<[\w -]+>|^(secret|example|your)", re.IGNORECASE)


class SettingsError(SystemExit):
    """A setting is wrong or missing: uncaught, it prints its one line and ends the process with status 1."""

    def __init__(self, problem: str) -> None:
        super().__init__("Settings: " + " ".join(problem.split()))


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
    _check_uploads(found, origins)
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


def _check_uploads(found: Settings, origins: Mapping[str, Origin]) -> None:
    """Refuse to remove, as abandoned, what may still be on its way."""
    longest, kept = "server.upload_seconds", "files.abandoned_seconds"
    if found[longest] >= found[kept]:
        places = "; ".join(f"{key}: {origins[key].place}" for key in (longest, kept) if key in origins)
        raise SettingsError(f"{longest} must be less than {kept} ({places})")


def _check_production(found: Settings, origins: Mapping[str, Origin]) -> None:
    """Refuse a database that nobody named, a key that anybody can know, and mails and files that nobody will see."""
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
    for key, better in MEMORY.items():
        if found[key] == "memory":
            place = origins[key].place if key in origins else "which it is unless set"
            advice = f"set environment variable {_variable(key)} to {better}"
            raise SettingsError(f"{key} must not be memory in production ({place}): {advice}")


def _advice(key: str, env: str) -> str:
    section, _, name = key.rpartition(".")
    return f"set environment variable {_variable(key)}, or {name} in [{env}.{section}] of {FILES[1]}"


settings = load()
