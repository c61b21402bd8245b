"""Every operation of the document, called as the wrong tenant; a new one joins by standing in the document."""

import pytest

from app.core.openapi import document
from app.main import bare_app
from app.modules.notifications.models import Notification
from app.modules.projects.models import Project
from tests.examples import Examples, operations_of
from tests.isolation.intruder import leaks_of
from tests.isolation.lanes import Lane
from tests.isolation.rivals import Rival, furnish

OPERATIONS = {str(one): one for one in operations_of(document(bare_app())) if one.access not in {"open", "superuser"}}

UNGUARDED = [
    "GET /tenants",
    "GET /tenants/current/members",
    "GET /projects",
    "GET /projects/{project_id}",
    "PATCH /projects/{project_id}",
    "DELETE /projects/{project_id}",
    "POST /projects/{project_id}/restore",
]
"""What only the two lines keep apart; notices and `/users/me` are narrowed to the person besides."""

OF_ONE_OBJECT = [
    "GET /projects/{project_id}",
    "PATCH /projects/{project_id}",
    "POST /projects/{project_id}/restore",
    "DELETE /projects/{project_id}",
    "POST /notifications/{notification_id}/read",
]

ORPHANS = """
    create table if not exists orphans (
        tenant_id uuid not null references tenants, id uuid not null, parent_id uuid not null references users,
        label text not null, payload jsonb not null, tags text[] not null, seen timestamptz not null, note text,
        size integer not null default 3
    )
"""


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_an_operation_shows_and_changes_nothing_of_another_tenant(
    operation: str, lane: Lane, rival: Rival
) -> None:
    """With each line alone as with both, no operation reaches the rival's rows."""
    assert await leaks_of(OPERATIONS[operation], lane, rival) == []


@pytest.mark.parametrize("operation", UNGUARDED)
async def test_without_both_lines_the_same_check_finds_a_leak(operation: str, control: Lane) -> None:
    """The check can fail: with neither line, the very same calls reach the rival's rows."""
    found = await leaks_of(OPERATIONS[operation], control, await furnish(control))
    assert any("showed" in leak or "changed" in leak for leak in found), found


@pytest.mark.parametrize("operation", OF_ONE_OBJECT)
async def test_the_same_request_succeeds_for_the_owner_of_the_object(operation: str, control: Lane) -> None:
    """A 404 for the wrong tenant means something: path and body are right, only the caller is wrong."""
    rival = await furnish(control)
    examples = Examples(OPERATIONS[operation].components, "the owner's")
    (name,) = OPERATIONS[operation].named("path")
    answers = [await rival.owner.call(**OPERATIONS[operation].request(examples, {name: one})) for one in rival.ids]
    assert {answer.status_code for answer in answers} == {200, 404}


async def test_the_rival_has_something_to_lose_in_every_table(lane: Lane, rival: Rival) -> None:
    """Every table that the catalogue knows holds rows of the rival, and where texts are, the marker."""
    # What waits to be chained counts as chained.
    assert set(rival.rows) == {*await lane.tables(), "tenants"} - {"audit_unchained"}
    assert [table for table, rows in rival.rows.items() if not rows] == []
    assert rival.marker in str(rival.rows["tenants"])


async def test_the_rival_has_something_deleted_and_something_told(rival: Rival) -> None:
    """A deleted project is among theirs, and news of projects."""
    projects, told = rival.rows[Project.__tablename__], rival.rows[Notification.__tablename__]
    assert {project["deleted_at"] is None for project in projects} == {True, False}
    assert all(rival.marker in str(rows) for rows in (projects, told))


async def test_a_table_that_no_operation_fills_is_filled_all_the_same(control: Lane) -> None:
    """A table of tasks or events gets a row by the types of its columns, whatever its foreign keys say."""
    await control.run(ORPHANS)
    rival = await furnish(control)
    (orphan,) = rival.rows["orphans"]
    assert orphan["label"] == rival.marker
    assert orphan["parent_id"] in rival.ids
    assert orphan["note"] is None
