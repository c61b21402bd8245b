"""The audit as a file: what it holds, who gets it, and what it costs."""

import datetime as dt
import gc
import json
import tracemalloc
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from app.audit.repository import PART
from app.audit.schemas import AuditFilter
from app.audit.services import AuditService
from app.core.unit_of_work import UnitOfWork
from tests.figures import Figure
from tests.support import Caller, Cluster, Team, chained

MANY = """
    insert into audit_entries (tenant_id, id, action, object_type, outcome, request_id, after, created_at)
    select :tenant, gen_random_uuid(), 'thing.done', 'thing', 'success', 'bulk', jsonb_build_object('n', n),
        now() - make_interval(secs => n)
    from generate_series(1, cast(:count as int)) n returning 1
"""


def lines(answer: Response) -> list[dict[str, Any]]:
    """Return the entries of a file."""
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("\n")
    return [json.loads(line) for line in answer.text.splitlines()]


async def export(caller: Caller, **query: Any) -> list[dict[str, Any]]:
    """Return what a caller downloads."""
    return lines(await caller.call("GET", "/audit/export", params=query))


async def test_it_holds_what_the_list_shows(team: Team) -> None:
    """Newest first, the download's own row before all; as a file with a name, and not as JSON."""
    await team.member.create_project()
    answer = await team.admin.call("GET", "/audit/export")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.ndjson"'
    listed = (await team.owner.call("GET", "/audit", params={"limit": 100})).json()["items"]
    found = lines(answer)
    assert found == listed
    assert (found[0]["action"], found[0]["actor_id"]) == ("audit.exported", str(team.admin.user_id))


async def test_it_is_narrowed_as_the_list_is(team: Team) -> None:
    """By each condition; the row of the download says which were asked for."""
    made = await team.member.create_project()
    found = await export(team.owner, object_id=made["id"], action="project.created")
    assert [entry["object_id"] for entry in found] == [made["id"]]
    until = dt.datetime.now(dt.UTC).isoformat()
    assert (await export(team.owner, until=until))[0]["after"] == {"narrowed_by": ["action", "object_id"]}
    shown = (await export(team.owner, action="audit.exported"))[1]["after"]
    assert (shown["narrowed_by"], dt.datetime.fromisoformat(shown["until"]).isoformat()) == (["until"], until)
    refused = await team.owner.call("GET", "/audit/export", params={"limit": 5})
    assert (refused.status_code, refused.json()["errors"][0]["loc"]) == (422, ["query", "limit"])


async def test_whose_it_is(team: Team) -> None:
    """Admins and owners get their own tenant's; others are refused."""
    made = await team.owner.create_project()
    for role in ("member", "viewer"):
        assert (await team[role].call("GET", "/audit/export")).status_code == 403
    assert made["id"] not in {entry["object_id"] for entry in await export(team.stranger)}


@pytest.mark.parametrize("total", [PART - 1, PART, PART + 1, 2 * PART])
async def test_every_entry_once_across_its_parts(owner: Caller, cluster: Cluster, database: str, total: int) -> None:
    """Whatever the number; among them are those of the tenant's founding, and the download's own."""
    before = len(await export(owner))
    await cluster.rows(database, MANY, tenant=owner.tenant_id, count=total - before - 1)
    found = await export(owner)
    assert len({entry["id"] for entry in found}) == len(found) == total
    assert found == sorted(found, key=lambda entry: dt.datetime.fromisoformat(entry["created_at"]), reverse=True)


async def test_it_costs_little_memory(
    owner: Caller, work: UnitOfWork, cluster: Cluster, database: str, figure: Figure
) -> None:
    """Six times as many entries pass through the same memory: no more than a few parts are there at once."""
    found = []
    for more in (3 * PART, 12 * PART):
        await cluster.rows(database, MANY, tenant=owner.tenant_id, count=more)
        # The sequencer works in this process, too, and in larger parts.
        await chained(cluster, database)
        found.append(await cost(owner, work))
    (small, least), (large, most) = found
    figure(
        f"export: {small / 1e6:.1f} MB pass through {least / 1e6:.1f} MB, {large / 1e6:.1f} through {most / 1e6:.1f}"
    )
    assert large > 5 * small
    assert most < 2 * least


async def cost(owner: Caller, work: UnitOfWork) -> tuple[int, int]:
    """Return how many bytes an export has after its first part, and how many were in memory at the most."""
    async with work.begin(tenant_id=owner.tenant_id, actor_id=owner.user_id) as ctx:
        parts = await AuditService(ctx).export(AuditFilter())
    await anext(parts)
    gc.collect()
    tracemalloc.start()
    try:
        size = sum([len(part) async for part in parts])
        return size, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_no_connection_is_held_between_two_parts(
    owner: Caller, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """Who reads slowly takes no connection from others."""
    await cluster.rows(database, MANY, tenant=owner.tenant_id, count=2 * PART)
    async with work.begin(tenant_id=owner.tenant_id, actor_id=owner.user_id) as ctx:
        parts = await AuditService(ctx).export(AuditFilter(object_id=None, request_id="bulk"))
    pool: Any = work.sessions.kw["bind"].pool
    seen = [pool.checkedout() async for _ in parts]
    assert seen == [0, 0]


async def test_it_is_documented(client: AsyncClient) -> None:
    """The document names the form of the lines."""
    document = (await client.get("http://test/openapi.json")).json()
    operation = document["paths"]["/api/v1/audit/export"]["get"]
    assert list(operation["responses"]["200"]["content"]) == ["application/x-ndjson"]
    assert "cursor" not in {parameter["name"] for parameter in operation["parameters"]}
