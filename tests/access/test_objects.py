"""The rule about one object: members change what is theirs, admins what is anybody's."""

import uuid
from typing import Any

import pytest
from httpx2 import Response

from tests.support import Caller, Team

ACTS = {
    "change": ("PATCH", "", {"json": {"description": "changed"}}),
    "delete": ("DELETE", "", {}),
    "restore": ("POST", "/restore", {}),
}


async def act(caller: Caller, name: str, project_id: object) -> Response:
    """Do one of the acts to a project."""
    method, suffix, rest = ACTS[name]
    return await caller.call(method, f"/projects/{project_id}{suffix}", **rest)


async def project_of(maker: Caller, name: str) -> dict[str, Any]:
    """Return a new project on which the act makes sense."""
    project = await maker.create_project()
    if name == "restore":
        assert (await act(maker, "delete", project["id"])).status_code == 200
    return project


@pytest.mark.parametrize(
    ("maker", "caller", "status"),
    [
        ("member", "member", 200),
        ("owner", "member", 403),
        ("admin", "member", 403),
        ("member", "admin", 200),
        ("owner", "admin", 200),
        ("member", "owner", 200),
        ("member", "viewer", 403),
    ],
)
async def test_whose_project_it_is_decides(maker: str, caller: str, status: int, team: Team) -> None:
    """`projects.write` reaches one's own projects, `projects.manage` those of all; a refusal changes nothing."""
    for name in ACTS:
        project = await project_of(team[maker], name)
        answer = await act(team[caller], name, project["id"])
        assert answer.status_code == status, (name, answer.text)
        seen = await team[maker].call("GET", f"/projects/{project['id']}")
        hidden = name == ("restore" if status == 403 else "delete")
        assert seen.status_code == (404 if hidden else 200), name
        if status == 403:
            assert answer.json()["code"] == "forbidden"
            assert hidden or seen.json() == project


@pytest.mark.parametrize("caller", ["member", "admin"])
async def test_an_unknown_project_is_missing(caller: str, team: Team) -> None:
    """The rule is asked about what there is: for anything else it is 404, a stranger's project included."""
    for name in ACTS:
        foreign = await project_of(team.stranger, name)
        for project_id in (uuid.uuid4(), uuid.UUID(int=0), foreign["id"]):
            answer = await act(team[caller], name, project_id)
            assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found"), name


@pytest.mark.parametrize("project_id", ["no-identifier", "1", "null", "%00", "0" * 400])
async def test_a_malformed_identifier_is_the_callers_mistake(project_id: str, somebody: Caller) -> None:
    """It is 422 and names the place, as where no rule is asked; what was sent is not repeated."""
    read = await somebody.call("GET", f"/projects/{project_id}")
    assert [fault["loc"] for fault in read.json()["errors"]] == [["path", "project_id"]]
    for name in ACTS:
        answer = await act(somebody, name, project_id)
        assert answer.status_code == read.status_code == 422, name
        assert answer.json()["errors"] == read.json()["errors"]
