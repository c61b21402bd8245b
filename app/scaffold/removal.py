"""Takes a module out of a project, with everything that was there for it."""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from itertools import chain
from pathlib import Path

from app.scaffold.draft import Draft
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.names import singular_of
from app.scaffold.needs import refuse_needed
from app.scaffold.pruning import dotted, prune
from app.scaffold.reading import routes_of, tables_of
from app.scaffold.signs import Gone, made_in

NAMERS = (
    "app/models.py",
    "app/routes.py",
    "app/hub.py",
    "app/worker.py",
    "app/mails.py",
    "app/embedded/demo.py",
    "tests",
    "benchmarks",
)
"""What may name a module: the registries, the demo, and what tries them out."""

PROMISES, PROMISES_TEST = "docs/security.md", "tests/docs/test_security_page.py"
NOTE = (
    "Tests that are named here and are not in this project are Groundplan's own: they need the modules of its demo.\n"
)
DECLARED = re.compile(r"""^    (?:\w+ = ["']([\w.]+)["'], ["']|(?:action|code) = ["']([\w.]+)["'])""", re.MULTILINE)
TASKS = re.compile(r"""@task\(.*?name=["']([\w.]+)["']""")


def modules_of(root: Path) -> list[str]:
    """Return the modules of the project at `root`."""
    return sorted(path.parent.name for path in (root / "app" / "modules").glob("*/__init__.py"))


def refuse_missing(root: Path, name: str) -> None:
    """Raise `ScaffoldError` for what is no module."""
    known = modules_of(root)
    if name not in known:
        raise ScaffoldError(f"there is no module {name}: {', '.join(known) or 'there are none'}")


def draft_removal(root: Path, names: Sequence[str]) -> Draft:
    """Return what the project at `root` is without some of its modules; its migrations are left as they are.

    Raises `ScaffoldError` where what stays needs one of them.
    """
    draft = Draft(root)
    take_out(draft, names)
    return draft


def take_out(draft: Draft, names: Sequence[str]) -> None:
    """Take some modules out of a draft."""
    without = []
    for name in names:
        gone = signs_of(draft, name)
        for path in (f"app/modules/{name}", f"tests/modules/{name}"):
            draft.remove(path)
        for path in draft.files("app/modules"):
            if fnmatch(path, f"app/modules/*/handlers/{name}.py"):
                draft.remove(path)
                gone.modules.add(dotted(path))
        prune(draft, gone, *NAMERS)
        without.append((name, gone))
    for name, gone in without:
        refuse_needed(draft, name, gone)
    unlink(draft, names)
    keep_promises(draft)
    draft.format()


def unlink(draft: Draft, names: Sequence[str]) -> None:
    """Let pages that link to these modules go on to name them, without a link that leads nowhere."""
    link = re.compile(rf"\[([^\]]+)\]\([^()\s]*\bapp/modules/(?:{'|'.join(names) or '-'})(?:/[^()\s]*)?\)")
    for page in (draft.root / "README.md", *(draft.root / "docs").rglob("*.md")):
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        if link.search(text):
            draft.write(str(page.relative_to(draft.root)), link.sub(r"\1", text))


def signs_of(draft: Draft, name: str) -> Gone:
    """Return by what a module is named elsewhere: what others declare, make or serve too, is no sign."""
    files = {path: draft.read(path) for path in draft.files(f"app/modules/{name}")}
    tables = [table for text in files.values() for table in tables_of(text)]
    paths = [f"{end}/{one}" for text in files.values() for one in routes_of(text) for end in ("", "/api/v1")]
    declared = {one for text in files.values() for pair in DECLARED.findall(text) for one in pair if one}
    tasks = {one for text in files.values() for one in TASKS.findall(text)}
    own = (*files, *draft.files(f"tests/modules/{name}"))
    others = [draft.read(path) for path in draft.files("app", "tests") if path not in own]
    elsewhere = {one for text in others for one in (*chain(*DECLARED.findall(text)), *made_in(text))}
    return Gone(
        modules={f"app.modules.{name}", f"tests.modules.{name}"},
        texts=(declared | tasks) - elsewhere,
        stem=singular_of(name),
        paths=tuple(one for one in paths if one not in elsewhere),
        tables=tuple(one for one in tables if one not in elsewhere),
        rows=frozenset(tables),
    )


def keep_promises(draft: Draft) -> None:
    """Let the page of promises say so where tests that it names are gone; what checks the page then goes, too."""
    if not (draft.root / PROMISES).is_file():
        return
    page = draft.read(PROMISES)
    named = set(re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page))
    there = {path: draft.read(path) for path in draft.files("tests")}
    if NOTE in page or all(f"def {test}(" in there.get(path, "") for path, test in named):
        return
    title, _, rest = page.partition("\n")
    draft.write(PROMISES, f"{title}\n\n{NOTE}{rest}")
    draft.remove(PROMISES_TEST)
