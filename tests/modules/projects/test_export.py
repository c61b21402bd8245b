"""Exports: begun by a request, written by a task, fetched by those who may see projects."""

import asyncio
import datetime as dt
import gc
import json
import tracemalloc
import uuid
from typing import Any

import pytest
from httpx2 import Response

from app.core.unit_of_work import UnitOfWork
from app.db.tenancy import SYSTEM_TENANT_ID
from app.files.models import StoredFile
from app.files.services import SweepService
from app.modules.projects.services import BATCH, ExportService
from app.modules.projects.tasks import export_projects
from app.services.filesystem import FileKey, MemoryFiles
from app.tenants.tasks import sweep_files
from app.utils.helpers import utcnow
from tests.support import Caller, Cluster, Team

MANY = """
    insert into projects (tenant_id, id, name, description, status, created_by, version)
    select :tenant, gen_random_uuid(), 'project ' || n, repeat('x', :size), 'active', gen_random_uuid(), 1
    from generate_series(1, :count) as n returning 1
"""


async def exported(caller: Caller, **body: Any) -> dict[str, Any]:
    """Let an export run to its end, and return its task."""
    begun = await caller.call("POST", "/projects/export", json=body)
    assert begun.status_code == 202, begun.text
    path = begun.headers["Location"].removeprefix("/api/v1")
    assert begun.json() == {"task_id": path.rpartition("/")[2], "status_url": f"/api/v1{path}"}
    async with asyncio.timeout(20):
        while (task := (await caller.call("GET", path)).json())["status"] != "finished":
            assert task["status"] in {"queued", "sent", "started"}, task
            await asyncio.sleep(0.01)
    found: dict[str, Any] = task
    return found


async def fetched(caller: Caller, task: dict[str, Any]) -> Response:
    """Fetch what an export wrote."""
    return await caller.call("GET", task["result"]["file"].removeprefix("/api/v1"))


async def test_an_export_holds_the_living_projects(team: Team) -> None:
    """Each once, as the API shows them; the file is an attachment, and the task says how much it is."""
    made = [await team.member.create_project() for _ in range(3)]
    await team.member.call("DELETE", f"/projects/{made.pop()['id']}")
    await team.stranger.create_project()
    task = await exported(team.viewer)
    assert (task["name"], task["progress"]) == ("projects.export", {"done": 2, "total": 2})
    answer = await fetched(team.viewer, task)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="projects-')
    assert [json.loads(line) for line in answer.text.splitlines()] == made
    assert task["result"] | {"file": ""} == {"file": "", "count": 2, "size": len(answer.content)}


async def test_an_export_is_narrowed_and_may_be_empty(owner: Caller) -> None:
    """By status; without a body it holds all."""
    project = await owner.create_project()
    await owner.call("PATCH", f"/projects/{project['id']}", json={"status": "archived"})
    task = await exported(owner, status="active")
    assert (task["result"]["count"], (await fetched(owner, task)).content) == (0, b"")
    assert (await exported(owner, status="archived"))["result"]["count"] == 1
    assert (await owner.call("POST", "/projects/export")).status_code == 202
    assert (await owner.call("POST", "/projects/export", json={"status": "gone"})).status_code == 422


async def test_an_export_is_fetched_in_its_tenant_alone(team: Team) -> None:
    """By whoever may see projects there; each download is audited, with who it was."""
    task = await exported(team.member)
    for role, status in (("owner", 200), ("viewer", 200), ("stranger", 404)):
        assert (await fetched(team[role], task)).status_code == status
    assert (await team.owner.call("GET", f"/projects/exports/{uuid.uuid4()}")).status_code == 404
    audit = await team.owner.call("GET", "/audit", params={"action": "project_export.downloaded"})
    assert {(entry["object_id"], entry["actor_id"]) for entry in audit.json()["items"]} == {
        (task["id"], str(team[role].user_id)) for role in ("owner", "viewer")
    }


@pytest.mark.parametrize("path", ["%2e%2e%2f%2e%2e", "x%00", "..%2f..%2fetc%2fpasswd", "a.ndjson"])
async def test_a_path_leads_nowhere(owner: Caller, path: str) -> None:
    """What is no id is none of a file."""
    assert (await owner.call("GET", f"/projects/exports/{path}")).status_code in {404, 405, 422}


async def test_memory_stays_flat(owner: Caller, cluster: Cluster, database: str, work: UnitOfWork) -> None:
    """Five times as many projects take no more of it than a few batches."""
    peaks = []
    for count in (BATCH, BATCH * 5):
        await cluster.rows(database, MANY, tenant=owner.tenant_id, count=count, size=2000)
        async with work.begin(tenant_id=owner.tenant_id, actor_id=owner.user_id) as ctx:
            projects = ExportService(ctx).projects
            gc.collect()
            tracemalloc.start()
            seen = 0
            async for batch in projects.batches(None, BATCH):
                seen += len(batch)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        await cluster.rows(
            database, "delete from projects where tenant_id = :tenant returning 1", tenant=owner.tenant_id
        )
        assert seen == count
    assert peaks[1] < peaks[0] * 2.5


async def test_a_second_attempt_writes_the_file_anew(owner: Caller, work: UnitOfWork) -> None:
    """The same task has the same file, whole."""
    files = work.services.files
    assert isinstance(files, MemoryFiles)
    await owner.create_project()
    task = await exported(owner)
    assert [key for key in files.kept if key.tenant_id == owner.tenant_id] == [
        FileKey(owner.tenant_id, uuid.UUID(task["id"]))
    ]


async def test_an_export_is_no_upload(owner: Caller, work: UnitOfWork) -> None:
    """Who may see files sees no projects by it, and it takes no room; when its time is over, it goes."""
    task = await exported(owner)
    assert (await owner.call("GET", f"/files/{task['id']}/content")).status_code == 404
    assert (await owner.call("GET", "/files")).json()["items"] == []
    async with work.begin(tenant_id=owner.tenant_id) as ctx:
        file = await ctx.session.get_one(StoredFile, (owner.tenant_id, uuid.UUID(task["id"])))
        file.expires_at = utcnow()
        ctx.quiet("the test has no week's time")
    async with work.begin(tenant_id=SYSTEM_TENANT_ID) as ctx:
        swept = await SweepService(ctx).sweep([owner.tenant_id], dt.timedelta(days=1))
    assert (swept.given_up, swept.expired, swept.orphans) == (0, 1, 0)
    assert (await fetched(owner, task)).status_code == 404


def test_the_tasks_names_outlive_their_functions() -> None:
    """What is under way at a deployment knows them by these."""
    assert (export_projects.name, sweep_files.name) == ("projects.export", "files.sweep")
    assert sweep_files.system
