"""The pages that go along with a new project: not those about the demo alone, and the others with a word on it."""

import re
from collections.abc import Sequence

from app.scaffold.draft import Draft
from app.scaffold.titles import title_of

OF_THE_DEMO = ("docs/tutorial.md", "docs/fancy-anatomy.md", "tests/docs/tutorial.py")
"""The pages that are about nothing else, and what does as the first one says."""

ABSENT = "; they and their tests are not in this project."


def leave_demo(draft: Draft, modules: Sequence[str]) -> None:
    """Take out the pages about the modules that stayed behind; let the others say at their head that they did.

    A link to a page that is out becomes plain text.
    """
    for path in OF_THE_DEMO:
        draft.remove(path)
    ends = "|".join(re.escape(path.rpartition("/")[2]) for path in OF_THE_DEMO)
    link = re.compile(rf"\[([^\]]+)\]\((?:[^()\s]*/)?(?:{ends})(?:#[^()\s]*)?\)")
    note = f"Written for {title_of(draft)} with its modules {', '.join(modules)}{ABSENT}"
    for place in pages(draft):
        text = before = draft.read(place)
        text = link.sub(r"\1", text)
        if modules and place.count("/") == 1 and ABSENT not in text:  # neither decisions nor the reference
            title, _, rest = text.partition("\n")
            text = f"{title}\n\n{note}\n{rest}"
        if text != before:
            draft.write(place, text)


def pages(draft: Draft) -> list[str]:
    """Return the pages as they will be."""
    found = (str(path.relative_to(draft.root)) for path in sorted((draft.root / "docs").rglob("*.md")))
    return [path for path in found if draft.changes.get(path, "") is not None]
