"""Two at once: lost races run again, and nothing is lost."""

import asyncio

import asyncpg
import pytest
from sqlalchemy import update
from sqlalchemy.engine import make_url

from app.core.context import Context
from app.modules.projects.models import Project
from tests.core.conftest import Stage
from tests.core.trial import run_sql
from tests.support import Cluster, Team

LOST = "do $$ begin raise exception 'lost' using errcode = '{code}'; end $$"


@pytest.mark.parametrize("code", ["40001", "40P01"])
@pytest.mark.parametrize(("losses", "status", "runs"), [(0, 200, 1), (4, 200, 5), (9, 409, 5)])
async def test_a_lost_race_runs_the_view_again(
    stage: Stage, team: Team, code: str, losses: int, status: int, runs: int
) -> None:
    """At most four times, each time with a context and a transaction of its own; then the client hears of it."""
    sessions = []

    async def step(ctx: Context) -> None:
        sessions.append(ctx.session)
        if len(sessions) <= losses:
            await run_sql(ctx, LOST.format(code=code))
        ctx.quiet("it changes nothing")

    async with stage(team.owner, step) as caller:
        answer = await caller.call("POST", "/trial")
    assert answer.status_code == status
    assert len(sessions) == len(set(map(id, sessions))) == runs
    if status == 409:
        assert answer.json()["code"] == "transaction_conflict"


async def test_a_real_deadlock_is_survived(stage: Stage, team: Team, cluster: Cluster, database: str) -> None:
    """The application is the victim of a deadlock, and its second run goes through."""
    first, second = [(await team.owner.create_project())["id"] for _ in range(2)]
    holds, runs = asyncio.Event(), 0
    rival = await asyncpg.connect(
        make_url(cluster.url("postgres", database)).set(drivername="postgresql").render_as_string()
    )
    await rival.execute("set deadlock_timeout = '30s'; begin")
    touch = "update projects set description = 'rival' where id = $1"
    await rival.execute(touch, second)

    async def step(ctx: Context) -> None:
        nonlocal runs
        runs += 1
        for project_id in (first, second):
            await ctx.session.execute(update(Project).where(Project.id == project_id).values(description="step"))
            holds.set()
        ctx.quiet("a test")

    async def fight() -> None:
        await holds.wait()
        await rival.execute(touch, first)
        await rival.execute("commit")

    try:
        async with stage(team.owner, step) as caller:
            answer, _ = await asyncio.gather(caller.call("POST", "/trial"), fight())
    finally:
        await rival.close()
    assert (answer.status_code, runs) == (200, 2)


async def test_no_update_is_lost(team: Team) -> None:
    """Twenty changes at once: each that was answered with 200 counts one version up, no other does."""
    made = await team.owner.create_project()
    path = f"/projects/{made['id']}"
    changes = [team.owner.call("PATCH", path, json={"description": f"change {number}"}) for number in range(20)]
    statuses = [answer.status_code for answer in await asyncio.gather(*changes)]
    assert set(statuses) <= {200, 409}
    assert (await team.owner.call("GET", path)).json()["version"] == 1 + statuses.count(200)


async def test_one_of_many_with_the_same_version_wins(team: Team) -> None:
    """Of ten changes that all name the version they read, one is made and nine are told."""
    made = await team.owner.create_project()
    path, expected = f"/projects/{made['id']}", {"If-Match": '"1"'}
    changes = [
        team.owner.call("PATCH", path, json={"description": f"change {number}"}, headers=expected)
        for number in range(10)
    ]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*changes))
    assert statuses == [200] + [412] * 9


async def test_one_of_many_with_the_same_name_wins(team: Team) -> None:
    """Of ten projects of one name that are created at once, one is, and nine are told why."""
    creations = [team.owner.call("POST", "/projects", json={"name": "the only one"}) for _ in range(10)]
    answers = await asyncio.gather(*creations)
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert {answer.json().get("code") for answer in answers} == {None, "project_name_taken"}
