"""Changing projects: field by field, and only the version that was read."""

import asyncio
from typing import Any

import pytest
from httpx2 import Response

from tests.support import Caller


async def patch(caller: Caller, project: dict[str, Any], body: dict[str, Any], match: str | None = None) -> Response:
    """Change a project; `match` is the If-Match."""
    headers = {} if match is None else {"If-Match": match}
    return await caller.call("PATCH", f"/projects/{project['id']}", json=body, headers=headers)


@pytest.fixture
async def project(owner: Caller) -> dict[str, Any]:
    """Create a project of the owner's."""
    return await owner.create_project(description="first")


@pytest.mark.parametrize(
    "body",
    [
        {"name": "New"},
        {"description": "new"},
        {"description": ""},
        {"status": "archived"},
        {"name": "New", "description": "new", "status": "archived"},
    ],
)
async def test_what_is_named_changes_and_nothing_else(
    owner: Caller, project: dict[str, Any], body: dict[str, Any]
) -> None:
    """The answer shows the new values, the next version and a later time; all else stays. The next reader sees it."""
    answer = await patch(owner, project, body)
    assert answer.status_code == 200
    changed = answer.json()
    assert changed == {**project, **body, "version": 2, "updated_at": changed["updated_at"]}
    assert changed["updated_at"] > project["updated_at"]
    assert answer.headers["ETag"] == '"2"'
    read = await owner.call("GET", f"/projects/{project['id']}")
    assert (read.json(), read.headers["ETag"]) == (changed, '"2"')


async def test_each_change_counts(owner: Caller, project: dict[str, Any]) -> None:
    """The version goes up by one with every change; an archived project becomes active again."""
    bodies = ({"name": " New "}, {"status": "archived"}, {"status": "active"})
    states = [(await patch(owner, project, body)).json() for body in bodies]
    assert [(state["version"], state["name"], state["status"]) for state in states] == [
        (2, "New", "active"),
        (3, "New", "archived"),
        (4, "New", "active"),
    ]


async def test_what_changes_nothing_keeps_the_version(owner: Caller, project: dict[str, Any]) -> None:
    """An empty change, and one to the values that are there, answer with the project as it was."""
    for body in ({}, {"name": project["name"]}, {"name": f" {project['name']} ", "status": "active"}):
        answer = await patch(owner, project, body)
        assert (answer.status_code, answer.json()) == (200, project)
        assert answer.headers["ETag"] == '"1"'


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": None}, "name"),
        ({"description": None}, "description"),
        ({"status": None}, "status"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "a\0b"}, "name"),
        ({"description": "x" * 10_001}, "description"),
        ({"description": "a\0b"}, "description"),
        ({"status": "deleted"}, "status"),
        ({"status": ""}, "status"),
        ({"version": 1}, "version"),
        ({"deleted_at": None}, "deleted_at"),
        ({"name": "New", "created_at": "2026-01-01T00:00:00Z"}, "created_at"),
    ],
)
async def test_bad_input_changes_nothing(
    owner: Caller, project: dict[str, Any], body: dict[str, Any], field: str
) -> None:
    """Null is no value, and a field of another form, or not the client's to set, is 422; all of it stays as it was."""
    answer = await patch(owner, project, body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"][:2] == ["body", field]
    assert (await owner.call("GET", f"/projects/{project['id']}")).json() == project


async def test_a_taken_name_is_refused(owner: Caller, project: dict[str, Any]) -> None:
    """A change to another project's name is 409 and changes nothing else either."""
    other = await owner.create_project()
    answer = await patch(owner, project, {"name": other["name"], "description": "new"})
    assert (answer.status_code, answer.json()["code"]) == (409, "project_name_taken")
    assert (await owner.call("GET", f"/projects/{project['id']}")).json() == project


@pytest.mark.parametrize("match", ['"1"', "*", ' "1" ', '"7", "1"', '"1","1"', '"a,b", W/"1", "1"'])
async def test_the_version_that_was_read_is_changed(owner: Caller, project: dict[str, Any], match: str) -> None:
    """If-Match lets the change through when the present version is among its tags, or for a star."""
    answer = await patch(owner, project, {"name": "New"}, match)
    assert (answer.status_code, answer.headers["ETag"]) == (200, '"2"')


@pytest.mark.parametrize("match", ['"2"', '"0"', 'W/"1"', '"01"', '"7", "8"', '""', '"*"', '"1,2"'])
async def test_another_version_is_not_changed(owner: Caller, project: dict[str, Any], match: str) -> None:
    """A stale tag, a weak one and a list without the present version are 412; nothing changes, not even by {}."""
    for body in ({"name": "New"}, {}):
        answer = await patch(owner, project, body, match)
        assert (answer.status_code, answer.json()["code"]) == (412, "precondition_failed")
    assert (await owner.call("GET", f"/projects/{project['id']}")).json() == project


@pytest.mark.parametrize("match", ["1", '"1', '1"', "", '"1" "2"', '*, "1"', 'w/"1"', "'1'", ",", '"1 "', '"1, 2"'])
async def test_what_is_no_list_of_tags_is_refused(owner: Caller, project: dict[str, Any], match: str) -> None:
    """A malformed If-Match is 400: it must not pass for none."""
    answer = await patch(owner, project, {"name": "New"}, match)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
    assert (await owner.call("GET", f"/projects/{project['id']}")).json() == project


async def test_a_list_of_tags_has_an_end(owner: Caller, project: dict[str, Any]) -> None:
    """A header of more than 500 characters is 422."""
    answer = await patch(owner, project, {"name": "New"}, ", ".join(['"1"'] * 101))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["header", "If-Match"]


async def test_of_many_who_read_one_version_one_changes_it(owner: Caller, project: dict[str, Any]) -> None:
    """Eight changes of the same version at once: one is made, the others are told that they are late."""
    tries = (patch(owner, project, {"description": f"by {number}"}, '"1"') for number in range(8))
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    (made,) = (answer.json() for answer in answers if answer.status_code == 200)
    assert (await owner.call("GET", f"/projects/{project['id']}")).json() == made


async def test_changes_of_different_fields_at_once_are_all_made(owner: Caller, project: dict[str, Any]) -> None:
    """Without If-Match two who change different fields both succeed, and neither undoes the other."""
    answers = await asyncio.gather(
        patch(owner, project, {"name": "New"}), patch(owner, project, {"status": "archived"})
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    read = (await owner.call("GET", f"/projects/{project['id']}")).json()
    assert (read["name"], read["status"], read["version"]) == ("New", "archived", 3)
