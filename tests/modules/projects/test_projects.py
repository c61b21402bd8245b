"""Projects over HTTP, as a tenant's people use them."""

from tests.support import Team


async def test_a_created_project_can_be_read(team: Team) -> None:
    """What is created is what is read, with its version in the ETag."""
    made = await team.owner.create_project(description="first")
    read = await team.viewer.call("GET", f"/projects/{made['id']}")
    assert read.status_code == 200
    assert read.json() == made
    assert read.headers["ETag"] == '"1"'
    assert made["status"] == "active"
