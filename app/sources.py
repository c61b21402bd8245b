"""Where settings come from: two files, Vault, `.env` and the environment, which Dynaconf makes one of.

What Dynaconf passes over in silence is refused here: a section or a key that it does not know. `app.config` says what
the keys are.
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
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from dynaconf import Dynaconf
from dynaconf.utils.parse_conf import parse_conf_data

from app.sections import SettingsError, VaultSettings

if TYPE_CHECKING:  # it imports hvac, which only those need who have a Vault
    from app.vault import Vault

Environment = Literal["development", "testing", "production"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
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


@dataclass(frozen=True)
class Origin:
    """The strongest place that sets a key, and what is written there."""

    kind: Literal["file", "secrets file", "Vault", "environment"]
    place: str
    value: object = field(repr=False)


class Sources:
    """What is set in the files of a project and in the environment of this process, and once it is opened in Vault.

    `known` has every key that may be set, with its type. `data` is what Dynaconf makes of all places, `origins` has the
    strongest one of each key that is set. Raises SettingsError for what cannot be read, and for a key that is unknown,
    in whichever section it stands.
    """

    def __init__(self, root: Path, known: Mapping[str, Any]) -> None:
        self.root, self.known = root, known
        self.files = {name: read_file(root / name, required=name == FILES[0]) for name in FILES}
        self.opened: Vault | None = None
        self.data = self.merged()
        self.variables = dict(variables())  # by now those of .env are among them
        self.env = self.named()
        self.origins = self.found()
        self.restore()

    def open(self, access: VaultSettings) -> None:
        """Read Vault as well; raises SettingsError when it is away, sealed, or refuses."""
        self.data = self.merged(access)
        self.opened = self.data.pop(OPENED)
        self.origins = self.found()
        self.restore()

    def merged(self, access: VaultSettings | None = None) -> dict[str, Any]:
        """Return what Dynaconf makes of files, Vault and environment, by names in lower case, without its own keys."""
        try:
            layers = Dynaconf(
                settings_files=[str(self.root / name) for name in FILES],
                environments=True,
                env_switcher=SWITCHER,
                envvar_prefix=PREFIX.rstrip("_"),
                load_dotenv=True,
                merge_enabled=True,
                loaders=[VAULT_LOADER, ENVIRONMENT_LOADER] if access else [ENVIRONMENT_LOADER],
                **{ACCESS: access},
            )
            data: dict[str, Any] = lower(layers.as_dict())
        except Exception as error:  # noqa: BLE001 - a marker such as @format fails with whatever it stumbles over
            raise SettingsError(self.unreadable(error)) from None
        return {name: value for name, value in data.items() if name not in {"env", "load_dotenv", "loaders", ACCESS}}

    def unreadable(self, error: Exception) -> str:
        """Return what is to be said when Dynaconf fails."""
        if isinstance(error, ConnectionError):  # Vault's, and in words already
            return str(error)
        if isinstance(error, OSError) and error.filename:
            return f"{error.filename} cannot be read: {error.strerror}"
        if isinstance(error, UnicodeDecodeError):
            return f"{self.root / '.env'} is not UTF-8 text"
        marked = [name for name, text in variables() if text.startswith("@")]
        return (
            f"a value that begins with @ (a marker of Dynaconf's) cannot be read ({type(error).__name__}); "
            f"look at {', '.join(marked or FILES)}"
        )

    def named(self) -> Environment:
        """Return the environment that is named, and take its variable away: it is no setting."""
        name = self.variables.pop(SWITCHER, ENVIRONMENTS[0])
        for env in ENVIRONMENTS:
            if name == env:
                return env
        known = ", ".join(ENVIRONMENTS)
        raise SettingsError(f"{SWITCHER} (environment variable or .env) names no environment; known are {known}")

    def found(self) -> dict[str, Origin]:
        """Return the origin of each key that is set, from the weakest place to the strongest."""
        in_vault = self.found_in_vault(self.opened) if self.opened else ()
        return dict([*self.found_in_files(), *in_vault, *self.found_in_variables()])

    def found_in_files(self) -> Iterator[tuple[str, Origin]]:
        """Yield what the files set for this environment."""
        for name, sections in self.files.items():
            kind: Literal["file", "secrets file"] = "file" if name == FILES[0] else "secrets file"
            for section in ("default", *ENVIRONMENTS):
                for key, value in flatten(sections.get(section, {})):
                    place = f"[{section}] of {self.root / name}"
                    if key not in self.known:
                        raise SettingsError(f"unknown key {key} in {place}: {nearest(key, self.known)}")
                    if section in ("default", self.env):
                        yield key, Origin(kind, place, value)

    def found_in_vault(self, vault: "Vault") -> Iterator[tuple[str, Origin]]:
        """Yield what the secret in Vault sets."""
        for key, value in flatten(vault.secret):
            if key not in self.known:
                raise SettingsError(f"unknown key {key} ({vault.place}): {nearest(key, self.known)}")
            if key.partition(".")[0] == "vault":
                raise SettingsError(f"{key} ({vault.place}) would be read too late: set it in a file or a variable")
            yield key, Origin("Vault", vault.place, from_text(value, self.known[key]))

    def found_in_variables(self) -> Iterator[tuple[str, Origin]]:
        """Yield what the environment sets; one variable may hold a table."""
        for name, text in self.variables.items():
            whole = name.removeprefix(PREFIX).replace("__", ".").lower()
            value = parse_conf_data(text, tomlfy=True)
            for key, leaf in flatten({whole: value if isinstance(value, dict) else text}):
                if key not in self.known:
                    raise SettingsError(self.unknown_variable(name, key, text))
                yield key, Origin("environment", f"environment variable {name}", leaf)

    def unknown_variable(self, name: str, key: str, text: str) -> str:
        """Return what is to be said of a variable that sets nothing."""
        if KUBERNETES.fullmatch(f"{name}={text}"):
            return (
                f"environment variable {name} was set by Kubernetes for a Service: "
                "say enableServiceLinks: false in the pod's spec, or rename the Service"
            )
        return f"unknown key {key} (environment variable {name}): {nearest(key, self.known, variable)}"

    def restore(self) -> None:
        """Undo three habits of Dynaconf that would change what somebody wrote.

        It joins the lists of all layers, so that a retired signing key would come first; it reads a text of digits
        in a variable as a number; and it carries out a secret of Vault's that begins with a marker.
        """
        for key, origin in self.origins.items():
            section, _, name = key.rpartition(".")
            table = self.data.get(section) if section else self.data
            if isinstance(table, dict) and name in table:
                table[name] = as_written(table[name], origin, self.known[key])


def as_written(value: Any, origin: Origin, kind: Any) -> Any:
    """Return what was meant where Dynaconf says `value`."""
    if origin.kind == "Vault":
        return origin.value
    if isinstance(value, list):
        written = parse_conf_data(origin.value, tomlfy=isinstance(origin.value, str))
        return value[len(value) - len(written) :] if isinstance(written, list) else value
    if isinstance(origin.value, str) and not isinstance(value, str | dict) and kind not in NUMBERS:
        return origin.value
    return value


def find_root(package: Path) -> Path:
    """Return the current folder if that holds a settings.toml, else the one that the package lies in."""
    here = Path.cwd()
    for folder in (here, package):
        if (folder / FILES[0]).exists():
            return folder
    raise SettingsError(f"{FILES[0]} was not found, neither in {here} nor in {package}")


def read_file(path: Path, *, required: bool) -> dict[str, Any]:
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
def process_environment(root: Path, environ: Mapping[str, str] | None) -> Iterator[None]:
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


def variables() -> Iterator[tuple[str, str]]:
    """Yield the environment variables that are ours."""
    return ((name, text) for name, text in os.environ.items() if name.startswith(PREFIX))


def lower(value: Any) -> Any:
    """Return tables with their names in lower case."""
    if isinstance(value, dict):
        return {str(name).lower(): lower(inner) for name, inner in value.items()}
    return value


def flatten(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield what is in a table and the tables in it, by dotted keys."""
    for name, value in table.items():
        key = f"{prefix}{name.lower()}"
        if isinstance(value, dict) and value:
            yield from flatten(value, f"{key}.")
        else:
            yield key, value


def from_text(value: object, kind: Any) -> object:
    """Return a number, a switch or a list that was written to Vault as text: its command line writes nothing else."""
    listed = get_origin(kind) is tuple
    if isinstance(value, str) and (kind in NUMBERS or (listed and value.startswith("["))):
        with suppress(ValueError):
            return json.loads(value)
    return value


def nearest(key: str, known: Mapping[str, Any], spell: Callable[[str], str] = str) -> str:
    """Return what helps somebody who wrote a key that is none."""
    near = difflib.get_close_matches(key, sorted(known), n=1, cutoff=0.5)
    if near:
        return f"did you mean {spell(near[0])}?"
    return f"known are {', '.join(spell(name) for name in sorted(known) if '.' not in name)}"


def variable(key: str) -> str:
    """Return the environment variable of a key."""
    return PREFIX + key.upper().replace(".", "__")
