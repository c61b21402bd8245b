"""A new module: its files, its migration, its tests, and its lines in the registries."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from app.scaffold.draft import Draft
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.fields import Field
from app.scaffold.names import Names
from app.scaffold.reading import heads, words_of
from app.scaffold.registries import add_entries, add_imports

TEMPLATES = Path(__file__).parent / "templates"
VERSIONS = "alembic/versions"
EVENTS = ("Created", "Updated", "Deleted", "Restored", "Purged")
FLAVOURS = ("simple", "fancy")
CLASS = re.compile(r"^class (\w+)", re.MULTILINE)
KNOWN_OUTSIDE = {"routes", "schemas", "events", "exceptions", "models", "orm"}
STAND_IN = Names("stands_in", "stand_in")
"""Another name for any module."""

templates = Environment(
    loader=FileSystemLoader(TEMPLATES),
    autoescape=select_autoescape(),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)


def draft_module(root: Path, names: Names, fields: Sequence[Field], flavour: str) -> Draft:
    """Return what a new module changes in the project at `root`; raises `ScaffoldError` where it cannot."""
    draft, there = Draft(root), classes(root)
    revision, before = next_revision(root)
    values = {
        "m": names,
        "fields": fields,
        "needed": [field for field in fields if not field.optional],
        "optional": [field for field in fields if field.optional],
        "nullable": [field for field in fields if field.nullable],
        "sorts": ["created_at", "updated_at", *(field.name for field in fields if field.sortable)],
        "fancy": flavour == "fancy",
        "revision": revision,
        "before": before,
    }
    for path, template in files_of(names, flavour):
        if (root / path).exists():
            raise ScaffoldError(f"{path} is there already: choose another name, or move it away")
        refuse_collisions(path, render(template, {**values, "m": STAND_IN}), names)
        text = render(template, values)
        if path.startswith("app"):
            refuse_twins(text, there)
        draft.write(path, text)
    draft.write(f"{VERSIONS}/{revision}_{names.many}.py", render("migration.py.j2", values))
    register(draft, names, "orm" if flavour == "fancy" else "models")
    draft.format()
    return draft


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a template's text with these values."""
    return templates.get_template(template).render(values)


def files_of(names: Names, flavour: str) -> Iterator[tuple[str, str]]:
    """Yield each file of a module and of its tests, with its template."""
    for folder in ("module/common", f"module/{flavour}", "tests"):
        for template in sorted((TEMPLATES / folder).iterdir()):
            name = template.name.removesuffix(".j2")
            if folder == "tests":
                yield f"tests/modules/{names.many}/{name.replace('main', names.many)}", f"{folder}/{template.name}"
            else:
                yield f"app/modules/{names.many}/{name}", f"{folder}/{template.name}"


def next_revision(root: Path) -> tuple[str, str]:
    """Return the number of the next migration and of the one before it; raises `ScaffoldError` unless it is one."""
    found = heads(root / VERSIONS)
    if len(found) != 1:
        raise ScaffoldError(f"the migrations end in {', '.join(found) or 'nothing'}: merge them first")
    return next_number(found[0]), found[0]


def next_number(revision: str) -> str:
    """Return the number after a revision's."""
    if not revision.isdecimal():
        raise ScaffoldError(f"the newest migration is called {revision}, which is no number to go on from")
    return f"{int(revision) + 1:0{len(revision)}}"


def refuse_collisions(path: str, text: str, names: Names) -> None:
    """Raise for names that mean something else in a module's own file: `events` has an `Event`, `updates` an `update`.

    `text` is the file as it is for another name: what it calls so has nothing to do with the module.
    """
    known = words_of(text)
    for mine, name in ((STAND_IN.row, names.row), (STAND_IN.one, names.one), (STAND_IN.many, names.many)):
        if mine in known and name in known:
            raise ScaffoldError(
                f"{name} means something else in {path}: choose another name, or name one with --singular"
            )


def classes(root: Path) -> dict[str, str]:
    """Return the classes whose names are known outside of their files, each with its file."""
    paths = {path.relative_to(root): path for path in sorted((root / "app").rglob("*.py"))}
    shown = {place: path for place, path in paths.items() if KNOWN_OUTSIDE.intersection((*place.parts, place.stem))}
    return {one: str(place) for place, path in shown.items() for one in CLASS.findall(path.read_text("utf-8"))}


def refuse_twins(text: str, there: Mapping[str, str]) -> None:
    """Raise for a class that there is: operations, schemas, events and codes of errors are called after classes."""
    for one in CLASS.findall(text):
        if one in there:
            raise ScaffoldError(f"{one} is there already, in {there[one]}: name one with --singular")


def register(draft: Draft, names: Names, rows: str) -> None:
    """Add the module's lines to the registries; `rows` is the file with its tables."""
    module, events = f"app.modules.{names.many}", [f"{names.row}{verb}" for verb in EVENTS]
    handlers = f"{names.one}_handlers"
    lines = [f"{event}: []" for event in events]
    lines[EVENTS.index("Deleted")] = f"{names.row}Deleted: [delivered({handlers}.let_expire)]"
    for path, table, imports, entries in (
        ("app/models.py", "MODELS", [f"from {module} import {rows} as {names.many}"], [names.many]),
        ("app/routes.py", "ROUTERS", [f"from {module}.routes import router as {names.many}"], [names.many]),
        (
            "app/hub.py",
            "handlers",
            [f"from {module} import handlers as {handlers}", f"from {module}.events import {', '.join(events)}"],
            lines,
        ),
        (
            "app/worker.py",
            "TASKS",
            [f"from {module}.tasks import purge_{names.one}"],
            [f"purge_{names.one}"],
        ),
    ):
        draft.write(path, add_imports(path, add_entries(path, draft.read(path), table, entries), *imports))
