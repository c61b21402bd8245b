"""Creating projects and reading them, as a tenant's people do."""

import asyncio
import datetime as dt
import uuid
from typing import Any

import pytest

from tests.support import Caller, Cluster, Team, join

FIELDS = {"id", "name", "description", "status", "version", "created_at", "updated_at"}


async def test_a_created_project_can_be_read(team: Team) -> None:
    """What is created is what is read, with its version in the ETag."""
    made = await team.owner.create_project(description="first")
    read = await team.viewer.call("GET", f"/projects/{made['id']}")
    assert read.status_code == 200
    assert read.json() == made
    assert read.headers["ETag"] == '"1"'
    assert made["status"] == "active"


async def test_a_name_is_enough(owner: Caller) -> None:
    """What is left out has its default; the answer has the fields of the contract, aware times and an ETag."""
    answer = await owner.call("POST", "/projects", json={"name": "Alpha"})
    assert answer.status_code == 201
    assert answer.headers["ETag"] == '"1"'
    made = answer.json()
    assert made.keys() == FIELDS
    assert (made["name"], made["description"], made["status"], made["version"]) == ("Alpha", "", "active", 1)
    assert uuid.UUID(made["id"]).version == 7
    assert made["created_at"] == made["updated_at"]
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(made["created_at"])
    assert abs(age) < dt.timedelta(minutes=1)


async def test_a_name_is_trimmed_and_a_description_is_not(owner: Caller) -> None:
    """Space around a name is a slip of the finger; in a description it may be meant."""
    made = await owner.create_project(name=" \t Al pha\n", description="  indented\n")
    assert (made["name"], made["description"]) == ("Al pha", "  indented\n")


@pytest.mark.parametrize(
    "text",
    [
        "🚀 👩‍👩‍👧‍👦 🏳️‍🌈",
        "مشروع عربي",
        "פרויקט \u200fRTL\u200e",
        "日本語の計画",
        "Ångström",
        "A\u030angstro\u0308m",
        "'; drop table projects; --",
        "<script>alert(1)</script>",
        "100% _ \\ \" ' `",
        "\U0010ffff",
    ],
)
async def test_any_script_is_kept_as_it_is(owner: Caller, text: str) -> None:
    """Text comes back to the code point: emoji, right to left, combining, and what looks like code."""
    made = await owner.create_project(name=text, description=text)
    read = (await owner.call("GET", f"/projects/{made['id']}")).json()
    assert read["name"] == made["name"] == text
    assert read["description"] == text


async def test_the_longest_text_fits(owner: Caller) -> None:
    """200 and 10,000 characters are counted as characters, and after the trimming."""
    made = await owner.create_project(name=" " + "🚀" * 200 + " ", description="é" * 10_000)
    assert (made["name"], made["description"]) == ("🚀" * 200, "é" * 10_000)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": None}, "name"),
        ({"name": ""}, "name"),
        ({"name": " \n\t\u2003"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": "nul\0here"}, "name"),
        ({"name": 7}, "name"),
        ({"name": True}, "name"),
        ({"name": ["a"]}, "name"),
        ({"name": "a", "description": None}, "description"),
        ({"name": "a", "description": "x" * 10_001}, "description"),
        ({"name": "a", "description": "nul\0here"}, "description"),
        ({"name": "a", "description": {}}, "description"),
        ({"name": "a", "status": "archived"}, "status"),
        ({"name": "a", "id": str(uuid.UUID(int=7))}, "id"),
        ({"name": "a", "tenant_id": str(uuid.UUID(int=7))}, "tenant_id"),
        ({"name": "a", "created_by": str(uuid.UUID(int=7))}, "created_by"),
        ({"name": "a", "version": 5}, "version"),
        ({"name": "a", "deleted_at": None}, "deleted_at"),
        ({"Name": "a"}, "name"),
    ],
)
async def test_bad_input_creates_nothing(owner: Caller, body: dict[str, Any], field: str) -> None:
    """A field that is wrong, missing or not the client's to set is 422 and named; no project is there."""
    answer = await owner.call("POST", "/projects", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert field in {fault["loc"][1] for fault in answer.json()["errors"]}
    assert all(fault["loc"][0] == "body" for fault in answer.json()["errors"])
    assert (await owner.call("GET", "/projects")).json()["items"] == []


async def test_a_name_is_taken_once_in_a_tenant(team: Team) -> None:
    """A second project of the name is 409, also by other space around it; another tenant may use it."""
    await team.owner.create_project(name="Alpha")
    for name in ("Alpha", " Alpha "):
        answer = await team.member.call("POST", "/projects", json={"name": name})
        assert (answer.status_code, answer.json()["code"]) == (409, "project_name_taken")
    assert (await team.stranger.create_project(name="Alpha"))["name"] == "Alpha"
    assert len((await team.owner.call("GET", "/projects")).json()["items"]) == 1


async def test_of_many_at_once_one_gets_the_name(owner: Caller) -> None:
    """Of ten who create a project of one name at the same moment one succeeds, the others get 409."""
    tries = (owner.call("POST", "/projects", json={"name": "Alpha"}) for _ in range(10))
    answers = await asyncio.gather(*tries)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert {answer.json().get("code") for answer in answers} == {None, "project_name_taken"}
    assert len((await owner.call("GET", "/projects")).json()["items"]) == 1


async def test_a_viewer_only_reads(team: Team) -> None:
    """A viewer sees projects and changes none."""
    made = await team.owner.create_project()
    path = f"/projects/{made['id']}"
    assert (await team.viewer.call("GET", path)).status_code == 200
    for method, where, body in (
        ("POST", "/projects", {"name": "a"}),
        ("PATCH", path, {"name": "a"}),
        ("DELETE", path, None),
        ("POST", f"{path}/restore", None),
    ):
        answer = await team.viewer.call(method, where, json=body)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert (await team.owner.call("GET", path)).json() == made


async def test_a_member_changes_their_own(team: Team, cluster: Cluster, database: str) -> None:
    """A member changes, deletes and restores what they created; an admin what anybody did."""
    mine, other = await team.member.create_project(), await team.owner.create_project()
    for person, project, status in (
        (team.member, mine, 200),
        (team.member, other, 403),
        (team.admin, mine, 200),
        (team.admin, other, 200),
    ):
        path = f"/projects/{project['id']}"
        patched = await person.call("PATCH", path, json={"description": f"by {person.user_id}"})
        deleted = await person.call("DELETE", path)
        restored = await person.call("POST", f"{path}/restore")
        assert [answer.status_code for answer in (patched, deleted, restored)] == [status] * 3
    await join(cluster, database, team.member, team.owner.tenant_id, "viewer")
    assert (await team.member.call("DELETE", f"/projects/{mine['id']}")).status_code == 403


@pytest.mark.parametrize(("method", "end"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/restore")])
async def test_a_project_that_is_not_here_is_not_found(team: Team, method: str, end: str) -> None:
    """A missing one and another tenant's are told apart by nothing; what is no identifier is 422."""
    body = {"json": {"description": "x"}} if method == "PATCH" else {}
    foreign = (await team.stranger.create_project())["id"]
    problems = []
    for project_id in (str(uuid.uuid4()), foreign):
        answer = await team.owner.call(method, f"/projects/{project_id}{end}", **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "project_not_found")
        problems.append({**answer.json(), "instance": None, "request_id": None})
    assert problems[0] == problems[1]
    answer = await team.owner.call(method, f"/projects/seven{end}", **body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["path", "project_id"]
    assert (await team.stranger.call("GET", f"/projects/{foreign}")).json()["version"] == 1
