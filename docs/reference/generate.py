"""Writes the pages of this folder from the code that they are about: `make docs`.

With `--check` it writes nothing, and exits with 1 when a page is not what the code says.
"""
# ruff: noqa: INP001 - a script among pages

import importlib
import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from app.cli import COMMANDS
from app.commands.events import kind
from app.commands.permissions import extras, mark
from app.config import KNOWN, Settings
from app.core.events import ApplicationEvent, Event
from app.core.permissions import CATALOGUE, BuiltInRole
from app.core.routing import operations
from app.exceptions import AppError
from app.hub import MessageHub
from app.main import bare_app
from app.scaffold.reference import rank

FOLDER = Path(__file__).resolve().parent
ROOT = FOLDER.parents[1]
NOTICE = "Written by `make docs` from the code; change it there."
WORDS = {"integer": "whole number", "boolean": "switch", "string": "text"}
SHOWN = ("development", "production")
"""The environments whose settings a reader looks for; those of the tests are in settings.toml."""

EXPLAINED = re.compile(r"^#? ?(\w+) = .*? +# (.+)$")
EXPLAINED_TOGETHER = re.compile(r"^# (\w+(?:, \w+)+): (.+)$")
RANGE = re.compile(r"[;,] (up to|[\d.]+( \([^)]*\))? to) [\d.]+( \([^)]*\))?$")
"""A range at the end of a comment; the page has the one that is enforced."""


def settings_page() -> str:
    """Return every setting: its type and range, its default, and what settings.toml says of it."""
    text = (ROOT / "settings.toml").read_text(encoding="utf-8")
    values, meanings = tomllib.loads(text), dict(explained(text))
    rows = []
    for key, schema, default in setting_fields(Settings.model_json_schema()):
        given = [(env, found(values.get(env, {}), key)) for env in SHOWN]
        others = [f"{code(value)} in {env}" for env, value in given if value is not None]
        initial = found(values["default"], key)
        shown = ", ".join([code(default if initial is None else initial), *others])
        meaning = RANGE.sub("", meanings.get(key, "")) if "maximum" in schema else meanings.get(key, "")
        rows.append((f"`{key}`", kind_of(schema), shown, flat(meaning)))
    return page(
        "Settings",
        "How they are read, and from where: [settings](../settings.md). `database.pool_size` is `pool_size` in",
        "`[default.database]` of a file, and `APP_DATABASE__POOL_SIZE` in the environment.",
        body=table(("key", "type", "default", "what it is"), rows),
    )


def setting_fields(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Yield key, JSON schema and default of each setting that a file can hold."""
    for key in KNOWN:
        section, _, name = key.rpartition(".")
        inside = schema["$defs"][schema["properties"][section]["$ref"].rpartition("/")[2]] if section else schema
        field = inside["properties"][name]
        if "$ref" not in field:
            yield key, field, field.get("default")


def explained(text: str) -> Iterator[tuple[str, str]]:
    """Yield what settings.toml says of each key, in the comment beside it."""
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line[1:].partition("]")[0].removeprefix("default").lstrip(".")
            section = f"{section}." if section else ""
        elif one := EXPLAINED.match(line):
            yield section + one[1], one[2]
        elif several := EXPLAINED_TOGETHER.match(line):
            yield from ((section + name, several[2]) for name in several[1].split(", "))


def found(table: dict[str, Any], key: str) -> Any:
    """Return a value of a section of settings.toml by its dotted key; None where it is not set."""
    section, _, name = key.rpartition(".")
    return (table.get(section, {}) if section else table).get(name)


def kind_of(schema: dict[str, Any]) -> str:
    """Return a setting's type and range in words; one that may be missing is told as its type."""
    if "anyOf" in schema:
        return ", ".join(kind_of(one) for one in schema["anyOf"] if one["type"] != "null")
    if "enum" in schema:
        return " \\| ".join(f"`{one}`" for one in schema["enum"])
    if schema["type"] == "array":
        return f"list: {kind_of(schema['items'])}"
    if schema.get("writeOnly"):
        return "secret"
    name: str = WORDS.get(schema["type"], schema["type"])
    low, over, high = schema.get("minimum"), schema.get("exclusiveMinimum"), schema.get("maximum")
    if high is None:
        return name
    return f"{name}, {f'above {over}' if low is None else low} to {high}"


@cache
def commands() -> dict[str, Any]:
    """Return every command by its name; to load them all is to load whatever the application defines."""
    modules = {name: importlib.import_module(module) for name, (module, _) in COMMANDS.items()}
    return {name: typer.main.get_command(module.cli) for name, module in modules.items()}


def commands_page() -> str:
    """Return every command, with its arguments and options."""
    parts = []
    for name, command in commands().items():
        parts.append(about(f"app {name}", command, "##"))
        if isinstance(command, TyperGroup):
            parts += [about(f"app {name} {one}", sub, "###") for one, sub in command.commands.items()]
    return page(
        "Commands",
        "`app --help` prints the table, `app COMMAND --help` what stands here. A wrong call exits with 2.",
        body="\n".join(parts),
    )


def about(name: str, command: Any, heading: str) -> str:
    """Return one command: how it is called, what it does, and a row for each argument and option."""
    arguments = [one for one in command.params if not isinstance(one, TyperOption)]
    call = " ".join([name, *(one.name.upper() if one.required else f"[{one.name.upper()}]" for one in arguments)])
    rows = [
        (", ".join(f"`{spelled}`" for spelled in spellings(one)), initial(one), flat(one.help or ""))
        for one in command.params
        if one.name != "help"
    ]
    said = inspect.cleandoc(command.help or "")
    return f"{heading} `{call}`\n\n{said}\n" + (f"\n{table(('', 'default', 'what it is'), rows)}" if rows else "")


def spellings(parameter: Any) -> Sequence[str]:
    """Return how a parameter is written."""
    if isinstance(parameter, TyperOption):
        return [*parameter.opts, *parameter.secondary_opts]
    return [parameter.name.upper()]


def initial(parameter: Any) -> str:
    """Return a parameter's default; a path as seen from the checkout, because pages name no machine."""
    value = parameter.default
    if parameter.required:
        return "needed"
    if value is None or value is False or value == "":
        return ""
    if isinstance(value, bool):
        return f"`{parameter.opts[0]}`"
    if isinstance(value, Path):
        value = value.relative_to(ROOT) if value.is_relative_to(ROOT) else value
    return code(value.value if isinstance(value, Enum) else value)


def permissions_page() -> str:
    """Return every permission, and every operation with what it asks and who may call it."""
    roles = [*map(str, BuiltInRole)]
    held = [
        (f"`{name}`", flat(one.description), *("yes" if role in one.roles else "-" for role in BuiltInRole))
        for name, one in CATALOGUE.items()
    ]
    asked = [
        (f"`{method} {path}`", f"`{route.access}`", *(mark(route, role) for role in BuiltInRole), extras(route))
        for method, path, route in operations(bare_app())
    ]
    return page(
        "Permissions",
        "What the built-in roles hold; a role of a tenant's own holds what the tenant gave it. `app permissions`",
        "prints the same.",
        body=table(("permission", "meaning", *roles), sorted(held, key=rank))
        + "\n## Operations\n\nThe last column names the module that a tenant must have switched on, and a check of the"
        + " object in the path.\n\n"
        + table(("operation", "asks", *roles, "also"), sorted(asked, key=rank)),
    )


def events_page() -> str:
    """Return every event with its handlers, and every activity that is only audited."""
    rows = [
        (f"`{event.action}`", event.__name__, str(event.version), summary(event), handlers or "-")
        for event, reactions in MessageHub.handlers.items()
        for handlers in [", ".join(f"`{one.name}` ({kind(one)})" for one in reactions)]
    ]
    activities = [one for one in descendants(ApplicationEvent) if not issubclass(one, Event)]
    tracked = [(f"`{one.action}`", one.__name__, summary(one)) for one in activities]
    return page(
        "Events",
        "Each is a row of the audit. What handlers are, and when they run: [events and tasks](../events-and-tasks.md).",
        body=table(("action", "class", "version", "means", "handlers"), sorted(rows, key=rank))
        + "\n## Activities\n\nThey change nothing, have no handlers, and are written into the audit by `ctx.track`.\n\n"
        + table(("action", "class", "means"), sorted(tracked, key=rank)),
    )


def errors_page() -> str:
    """Return every error that a client can meet."""
    rows = [
        (str(one.status), f"`{one.code}`", summary(one), f"`{one.__module__}.{one.__name__}`")
        for one in descendants(AppError)
    ]
    return page(
        "Errors",
        "An error is answered as `application/problem+json` (RFC 9457); programs branch on `code`. The message is the",
        "default, an answer may say more. What the framework refuses without a class of ours has a code that is made",
        "of its status: `unsupported_media_type`.",
        body=table(("status", "code", "message", "class"), sorted(rows, key=rank)),
    )


PAGES: dict[str, Callable[[], str]] = {
    "settings": settings_page,
    "commands": commands_page,
    "permissions": permissions_page,
    "events": events_page,
    "errors": errors_page,
}
"""Page -> what writes it."""


def descendants(cls: type[Any]) -> set[type[Any]]:
    """Return every class below one."""
    commands()
    return {one for child in cls.__subclasses__() for one in (child, *descendants(child))}


def summary(cls: type) -> str:
    """Return the first line of a docstring."""
    return flat(inspect.cleandoc(cls.__doc__ or "").split("\n")[0])


def page(title: str, *lead: str, body: str) -> str:
    """Return a page, with a notice that it is not written by hand."""
    said = "\n".join(lead)
    return f"# {title}\n\n{NOTICE}\n\n{said}\n\n{body}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def code(value: Any) -> str:
    """Return a value as code; nothing for an empty one."""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return ", ".join(f"`{one}`" for one in value)
    return f"`{value}`" if value not in ("", None) else ""


def flat(text: str) -> str:
    """Return a text as one line that a table can hold, and that shows as it is."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "\\<")


def main(arguments: Sequence[str]) -> None:
    """Write the pages that are not as they should be, or name them."""
    pages = {FOLDER / f"{name}.md": write() for name, write in PAGES.items()}
    stale = [path for path, text in pages.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        sys.exit(
            "\n".join(f"docs/reference/{path.name} is not what the code says: make docs" for path in stale) or None
        )
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
    said = ", ".join(path.name for path in stale) or "nothing, the pages are as they should be"
    sys.stdout.write(f"Written: {said}.\n")


if __name__ == "__main__":
    main(sys.argv[1:])
