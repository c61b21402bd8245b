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


@pytest.mark.parametrize("name", ACTS)
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
async def test_whose_project_it_is_decides(name: str, maker: str, caller: str, status: int, team: Team) -> None:
    """`projects.write` reaches one's own projects, `projects.manage` those of all; a refusal changes nothing."""
    project = await project_of(team[maker], name)
    answer = await act(team[caller], name, project["id"])
    assert answer.status_code == status, answer.text
    seen = await team[maker].call("GET", f"/projects/{project['id']}")
    if status == 403:
        assert answer.json()["code"] == "forbidden"
        assert seen.status_code == (404 if name == "restore" else 200)
        assert name == "restore" or seen.json() == project
    else:
        assert seen.status_code == (404 if name == "delete" else 200)


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("caller", ["member", "admin"])
async def test_an_unknown_project_is_missing(name: str, caller: str, team: Team) -> None:
    """The rule is asked about what there is: for anything else it is 404, a stranger's project included."""
    foreign = await project_of(team.stranger, name)
    for project_id in (uuid.uuid4(), uuid.UUID(int=0), foreign["id"]):
        answer = await act(team[caller], name, project_id)
        assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")


@pytest.mark.parametrize("name", ACTS)
@pytest.mark.parametrize("project_id", ["no-identifier", "1", "null", "%00", "0" * 400])
async def test_a_malformed_identifier_is_the_callers_mistake(name: str, project_id: str, team: Team) -> None:
    """It is 422 and names the place, as where no rule is asked; what was sent is not repeated."""
    answer = await act(team.member, name, project_id)
    read = await team.member.call("GET", f"/projects/{project_id}")
    assert answer.status_code == read.status_code == 422
    assert answer.json()["errors"] == read.json()["errors"]
    assert [fault["loc"] for fault in answer.json()["errors"]] == [["path", "project_id"]]
