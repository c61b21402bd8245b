"""What a copy is called, and which pages go along."""

import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are a package more

from app.commands.writing import ROOT
from app.scaffold.draft import Draft
from app.scaffold.pages import ABSENT, OF_THE_DEMO, leave_demo, pages
from app.scaffold.titles import rename, slug_of


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Corner Shop", "corner-shop"),
        ("_A & B_", "a-b"),
        ("2026", "project-2026"),
        ("On", "project-on"),
        ("鹿", "project"),
        ("x" * 49 + " y", "x" * 49),
    ],
)
def test_a_name_for_docker(title: str, slug: str) -> None:
    """What an image and a namespace may be called, and what YAML reads as text."""
    assert slug_of(title) == slug


def test_two_on_one_host_share_nothing() -> None:
    """Neither the compose file's project nor the image, nor the namespace of the cluster."""
    draft = Draft(ROOT)
    rename(draft, "Corner Shop No. 2")
    compose = yaml.safe_load(draft.read("compose.yaml"))
    assert (compose["name"], compose["services"]["api"]["image"]) == ("corner-shop-no-2", "corner-shop-no-2:latest")
    manifests = [path for path in draft.changes if path.startswith("deploy/")]
    found = [one for path in manifests for one in yaml.safe_load_all(draft.read(path))]
    spaces = {one["metadata"]["namespace"] for one in found if "namespace" in one.get("metadata", {})}
    images = {image["newName"] for one in found for image in one.get("images", ())}
    assert (spaces, images) == ({"corner-shop-no-2"}, {"registry.example.com/corner-shop-no-2"})
    assert 'path = "corner-shop-no-2"' in draft.read("settings.toml")


def test_the_pages_of_the_demo_stay_behind() -> None:
    """No link leads to one, and each page that goes along says once what it was written for."""
    draft = Draft(ROOT)
    leave_demo(draft, ["quokkas"])
    leave_demo(draft, ["quokkas"])
    assert [path for path in OF_THE_DEMO if draft.changes[path] is not None] == []
    texts = {path: draft.read(path) for path in pages(draft)}
    assert [path for path, text in texts.items() if "tutorial.md)" in text or "](fancy-anatomy" in text] == []
    assert {text.count(ABSENT) for path, text in texts.items() if path.count("/") == 1} == {1}
    assert {text.count(ABSENT) for path, text in texts.items() if path.count("/") > 1} == {0}
