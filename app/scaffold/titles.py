"""What a new project is called, wherever that stands: in its settings, its package, its image and its manifests."""

import re

from app.scaffold.draft import Draft
from app.scaffold.exceptions import ScaffoldError
from app.scaffold.modules import render

SETTINGS, PACKAGE, README = "settings.toml", "pyproject.toml", "README.md"
NAMED = (
    "compose.yaml",
    "deploy/**/*.yaml",
    "docs/deployment.md",
    "docs/secrets.md",
    ".env.example",
    ".secrets.toml.example",
)
"""What names the image, the namespace and what is in it, the secret in Vault, or the database."""

READ_OTHERWISE = ("false", "no", "null", "off", "on", "true", "yes")
"""What YAML takes for no text."""
LONGEST = 50
"""Characters: what Kubernetes takes for a name, less what may come before or behind it."""


def slug_of(title: str) -> str:
    """Return a name as images, namespaces, packages and claims may have it: small letters, digits and dashes."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:LONGEST].strip("-")
    if not slug or slug in READ_OTHERWISE:
        return f"project-{slug}".strip("-")
    return slug if slug[0].isalpha() else f"project-{slug}"


def rename(draft: Draft, title: str) -> None:
    """Give a copy its name, and a README of its own."""
    before, after = value_of(draft, PACKAGE, "name"), slug_of(title)
    values = {
        "project_name": title,
        "issuer": after,
        "audience": f"{after}-api",
        "sender": f"{title} <no-reply@localhost>",
        "path": after,
    }
    for key, value in values.items():
        put(draft, SETTINGS, key, value)
    put(draft, PACKAGE, "name", after)
    put(draft, PACKAGE, "description", title)
    for path in [path for pattern in NAMED for path in sorted(draft.root.glob(pattern))]:
        place = str(path.relative_to(draft.root))
        draft.write(place, re.sub(rf"(?<![\w-]){re.escape(before)}(?!\w)", after, draft.read(place)))
    draft.write(README, render("readme.md.j2", {"title": title}))


def title_of(draft: Draft) -> str:
    """Return what a project is called so far."""
    return value_of(draft, SETTINGS, "project_name")


def value_of(draft: Draft, path: str, key: str) -> str:
    """Return the text that a file gives a key; raises `ScaffoldError` where it gives none."""
    found = re.search(rf'^{key} = "([^"]+)"', draft.read(path), re.MULTILINE)
    if found is None:
        raise ScaffoldError(f"{path} sets no {key}: is this a checkout of the project?")
    return found[1]


def put(draft: Draft, path: str, key: str, value: str) -> None:
    """Let the first line of a file that sets a key set it to this."""
    text = re.sub(rf'^{key} = "[^"]*"', f'{key} = "{value}"', draft.read(path), count=1, flags=re.MULTILINE)
    draft.write(path, text)
