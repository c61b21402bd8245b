"""Deleting projects, and bringing them back."""

from typing import Any

import pytest
from httpx2 import AsyncClient

from tests.support import Caller, Cluster, register

Project = dict[str, Any]


@pytest.fixture
async def project(owner: Caller) -> Project:
    """Create a project of the owner's."""
    return await owner.create_project(description="first")


@pytest.fixture
async def deleted(owner: Caller, project: Project) -> Project:
    """Delete the project."""
    answer = await owner.call("DELETE", f"/projects/{project['id']}")
    assert answer.status_code == 200, answer.text
    return project


async def listed(owner: Caller, **query: str) -> list[str]:
    """Return the ids that a list shows."""
    items = (await owner.call("GET", "/projects", params=query)).json()["items"]
    return [item["id"] for item in items]


async def test_a_deleted_project_is_acknowledged(owner: Caller, project: Project) -> None:
    """There is nothing to show any more: the answer says that it is done."""
    answer = await owner.call("DELETE", f"/projects/{project['id']}")
    assert answer.status_code == 200
    assert answer.json() == {"status": True, "msg": "The project was deleted.", "details": {}}


async def test_a_deleted_project_is_nowhere(owner: Caller, deleted: Project) -> None:
    """It cannot be read, changed or deleted again, and no list has it."""
    other = await owner.create_project()
    path = f"/projects/{deleted['id']}"
    for method, body in (("GET", None), ("PATCH", {"name": "x"}), ("PATCH", {}), ("DELETE", None)):
        answer = await owner.call(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert await listed(owner) == [other["id"]]
    for query in ({"status": "active"}, {"sort": "name"}, {"sort": "updated_at"}, {"limit": "1"}):
        assert await listed(owner, **query) == [other["id"]]
    assert await listed(owner, status="archived") == []


async def test_the_row_itself_stays(owner: Caller, deleted: Project, cluster: Cluster, database: str) -> None:
    """Deleting hides: the row is there, with the time, for the one who brings it back."""
    query = "select name, version, deleted_at from projects where id = :id"
    (row,) = await cluster.rows(database, query, id=deleted["id"])
    assert (row.name, row.version) == (deleted["name"], 2)
    assert row.deleted_at is not None


@pytest.mark.parametrize(
    ("match", "status", "code"),
    [
        ('"1"', 200, None),
        ("*", 200, None),
        ('"3", "1"', 200, None),
        ('"2"', 412, "precondition_failed"),
        ('W/"1"', 412, "precondition_failed"),
        ("1", 400, "bad_request"),
        ("", 400, "bad_request"),
    ],
)
async def test_only_the_version_that_was_read_is_deleted(
    owner: Caller, project: Project, match: str, status: int, code: str | None
) -> None:
    """If-Match is asked for a deletion as for a change."""
    path = f"/projects/{project['id']}"
    answer = await owner.call("DELETE", path, headers={"If-Match": match})
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert (await owner.call("GET", path)).status_code == (404 if status == 200 else 200)


async def test_a_deleted_project_comes_back_as_it_was(owner: Caller, deleted: Project) -> None:
    """Restoring shows the project, a version further than the deletion; it is in the list again and can be changed."""
    path = f"/projects/{deleted['id']}"
    answer = await owner.call("POST", f"{path}/restore")
    assert answer.status_code == 200
    restored = answer.json()
    assert restored == {**deleted, "version": 3, "updated_at": restored["updated_at"]}
    assert restored["updated_at"] > deleted["updated_at"]
    assert answer.headers["ETag"] == '"3"'
    assert (await owner.call("GET", path)).json() == restored
    assert await listed(owner) == [deleted["id"]]
    changed = await owner.call("PATCH", path, json={"status": "archived"}, headers={"If-Match": '"3"'})
    assert changed.json()["version"] == 4


async def test_restoring_is_idempotent(owner: Caller, project: Project, deleted: Project) -> None:
    """Restoring again, or what was never deleted, answers the same and changes nothing."""
    path = f"/projects/{deleted['id']}"
    first = await owner.call("POST", f"{path}/restore")
    again = await owner.call("POST", f"{path}/restore")
    assert (again.status_code, again.json(), again.headers["ETag"]) == (200, first.json(), '"3"')
    living = await owner.create_project()
    same = await owner.call("POST", f"/projects/{living['id']}/restore")
    assert (same.status_code, same.json()) == (200, living)


async def test_a_name_is_free_after_the_deletion(owner: Caller, deleted: Project) -> None:
    """Another project may take the name, and any number of deleted ones may have had it."""
    for _ in range(2):
        again = await owner.create_project(name=deleted["name"])
        assert (await owner.call("DELETE", f"/projects/{again['id']}")).status_code == 200


async def test_a_name_that_went_to_another_stands_in_the_way(owner: Caller, deleted: Project) -> None:
    """Restoring is then 409 and the project stays deleted, until the name is free again."""
    path = f"/projects/{deleted['id']}"
    heir = await owner.create_project(name=deleted["name"])
    answer = await owner.call("POST", f"{path}/restore")
    assert (answer.status_code, answer.json()["code"]) == (409, "project_name_taken")
    assert (await owner.call("GET", path)).status_code == 404
    assert await listed(owner) == [heir["id"]]
    await owner.call("PATCH", f"/projects/{heir['id']}", json={"name": "Another"})
    answer = await owner.call("POST", f"{path}/restore")
    assert (answer.status_code, answer.json()["name"]) == (200, deleted["name"])


async def test_a_foreign_project_is_not_restored(client: AsyncClient, owner: Caller, deleted: Project) -> None:
    """A stranger finds nothing to restore; it stays deleted, and its own people's to bring back."""
    stranger, path = await register(client), f"/projects/{deleted['id']}"
    answer = await stranger.call("POST", f"{path}/restore")
    assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
    assert (await owner.call("GET", path)).status_code == 404
    assert (await owner.call("POST", f"{path}/restore")).status_code == 200
