"""When the database is slow, locked, full or gone: 503 with Retry-After, and work goes on afterwards."""

import asyncio
import os
import signal
import time
from dataclasses import replace

import pytest
from httpx2 import Response
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from app.config import settings
from app.core.context import Context, CurrentUser
from app.core.unit_of_work import UnitOfWork
from app.db import engine
from app.main import create_app
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from tests.core.conftest import Stage
from tests.core.trial import Step, run_sql
from tests.support import Caller, Cluster, Team, found_team, serve, superuser


def is_busy(answer: Response) -> bool:
    """Tell whether the answer says: come back in a moment."""
    return answer.status_code == 503 and answer.headers["Retry-After"] == "1" and answer.json()["status"] == 503


async def is_served(caller: Caller, method: str, path: str) -> bool:
    """Tell whether a request is served at last: under a test's short limits a busy machine may fail one or two."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if (status := (await caller.call(method, path)).status_code) != 503:
            return status == 200
        await asyncio.sleep(0.05)
    return False


async def asleep(ctx: Context) -> None:
    """Let a statement take long."""
    await run_sql(ctx, "select pg_sleep(5)")


async def idle(ctx: Context) -> None:
    """Hold a transaction and do nothing."""
    await run_sql(ctx, "select 1")
    await asyncio.sleep(0.6)
    await run_sql(ctx, "select 1")


async def locked(ctx: Context) -> None:
    """Want a lock that another transaction of the same caller holds."""
    lock = "select pg_advisory_xact_lock(hashtext(current_setting('app.tenant_id')))"
    await run_sql(ctx, lock)
    async with ctx.separate() as other:
        await run_sql(other, lock)


@pytest.mark.parametrize(
    ("step", "limit"),
    [(asleep, {"statement_timeout": 0.2}), (idle, {"idle_timeout": 0.2}), (locked, {"lock_timeout": 0.2})],
    ids=["statement", "idle", "lock"],
)
async def test_a_limit_of_time_is_a_503(stage: Stage, team: Team, step: Step, limit: dict[str, float]) -> None:
    """Whichever limit is hit, the client is told to come back, and the next request is served."""
    async with stage(team.owner, step, **limit) as caller:
        assert is_busy(await caller.call("POST", "/trial"))
        assert await is_served(caller, "GET", "/projects")


async def test_a_server_that_became_a_standby_is_a_503(stage: Stage, team: Team) -> None:
    """A write that it refuses can be sent again; one in a GET is a mistake of ours, whose transaction is read-only."""

    async def step(ctx: Context) -> None:
        await run_sql(ctx, "set transaction read only")
        await ProjectService(ctx).create(ProjectCreate(name="late"))

    async with stage(team.owner, step) as caller:
        assert is_busy(await caller.call("POST", "/trial"))
        answer = await caller.call("GET", "/trial")
        assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_a_database_that_answers_no_more_is_a_503(
    stage: Stage, team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen server cannot keep its own time limits: the request ends, and so does its connection."""
    frozen: list[int] = []

    async def step(ctx: Context) -> None:
        query = text("select pg_backend_pid()").execution_options(unscoped="asks for no row")
        backend = await ctx.session.scalar(query) or 0
        if not frozen:
            frozen.append(backend)
            os.kill(backend, signal.SIGSTOP)
        await run_sql(ctx, "select 1")

    monkeypatch.setattr(engine, "SILENCE", 0.3)
    async with stage(team.owner, step, pool_size=1, statement_timeout=0.8) as caller:
        try:
            answer = await caller.call("POST", "/trial")
        finally:
            for backend in frozen:
                os.kill(backend, signal.SIGCONT)
        assert is_busy(answer)
        assert answer.json()["code"] == "database_away"
        assert await is_served(caller, "POST", "/trial")


async def test_a_lock_is_not_waited_for_as_long_as_a_connection() -> None:
    """Else those who wait for one row would keep the connections that others wait for until these give up."""
    assert settings.database.lock_timeout < settings.database.pool_timeout


async def test_an_exhausted_pool_is_a_503(stage: Stage, team: Team) -> None:
    """Who gets no connection in time is told so; who has one finishes, also with a write beside it."""
    holds, release = asyncio.Event(), asyncio.Event()

    async def step(ctx: Context) -> None:
        holds.set()
        await release.wait()
        async with ctx.separate() as other:
            await ProjectService(other).create(ProjectCreate(name="beside"))

    async with stage(team.owner, step, pool_size=1, pool_timeout=0.2) as caller:
        first = asyncio.create_task(caller.call("POST", "/trial"))
        await holds.wait()
        assert is_busy(await caller.call("GET", "/projects"))
        release.set()
        assert (await first).status_code == 200
        assert (await caller.call("GET", "/projects")).status_code == 200


async def test_a_lost_connection_costs_one_answer_at_most(
    stage: Stage, team: Team, cluster: Cluster, database: str
) -> None:
    """After the server dropped the pool's one connection, one request at most is told to come back."""
    backends: list[int] = []

    async def step(ctx: Context) -> None:
        query = text("select pg_backend_pid()").execution_options(unscoped="asks for no row")
        backends.append(await ctx.session.scalar(query) or 0)

    async with stage(team.owner, step, pool_size=1) as caller:
        assert (await caller.call("GET", "/trial")).status_code == 200
        await cluster.rows(database, "select pg_terminate_backend(:pid)", pid=backends[0])
        answers = [await caller.call("GET", "/trial") for _ in range(3)]
    assert answers[0].status_code == 200 or is_busy(answers[0])
    assert [answer.status_code for answer in answers[1:]] == [200, 200]
    assert backends[0] not in backends[1:]


async def test_a_database_that_is_away_is_a_503() -> None:
    """Readiness says so, liveness does not ask."""
    async with serve(create_app(url="postgresql+asyncpg://app_rw@/app?host=/nowhere")) as client:
        answer = await client.get("/core/health/ready")
        assert is_busy(answer)
        assert answer.json()["code"] == "database_away"
        assert (await client.get("/core/health/live")).status_code == 200


async def test_a_cancelled_commit_is_finished(cluster: Cluster) -> None:
    """Cancelled twice in the middle of a slow commit: the row is there, the connection is back in the pool."""
    name = "gp_slow_commit"
    await cluster.clone(name)
    app = create_app(url=cluster.url("app_rw", name))
    async with serve(app) as client:
        team = await found_team(client, cluster, name)
        for statement in SLOW_COMMIT:
            await cluster.run(statement, name)
        work: UnitOfWork = app.state.serving.gate.work
        async with superuser(cluster.url("postgres", name)).begin() as rival:
            await rival.execute(text("select pg_advisory_xact_lock(1)"))
            task = asyncio.create_task(create_slowly(work, team))
            await in_the_commit(cluster, name)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0.1)
        with pytest.raises(asyncio.CancelledError):
            await task
        pool: AsyncEngine = work.sessions.kw["bind"]
        assert pool.pool.checkedout() == 0  # type: ignore[attr-defined]
        assert [row["name"] for row in (await team.owner.call("GET", "/projects")).json()["items"]] == ["slow"]
    await cluster.drop(name)


async def test_a_cancelled_statement_leaves_nothing(stage: Stage, team: Team) -> None:
    """Cancelled twice while a statement runs: what was written is undone, and the one connection serves on."""
    wrote = asyncio.Event()

    async def step(ctx: Context) -> None:
        await ProjectService(ctx).create(ProjectCreate(name="cancelled"))
        wrote.set()
        await run_sql(ctx, "select pg_sleep(5)")

    async with stage(team.owner, step, pool_size=1) as caller:
        task = asyncio.create_task(caller.call("POST", "/trial"))
        await wrote.wait()
        for _ in range(2):
            await asyncio.sleep(0.05)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        answer = await caller.call("GET", "/projects")
    assert (answer.status_code, answer.json()["items"]) == (200, [])


SLOW_COMMIT = (
    "create function slow() returns trigger language plpgsql as $$"
    " begin perform pg_advisory_xact_lock(1); return null; end $$",
    "create constraint trigger slow after insert on projects deferrable initially deferred"
    " for each row execute function slow()",
)


async def in_the_commit(cluster: Cluster, database: str) -> None:
    """Return once a commit waits for the lock."""
    waiting = "select 1 from pg_stat_activity where datname = :name and wait_event = 'advisory'"
    async with asyncio.timeout(20):
        while not await cluster.rows(database, waiting, name=database):  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.01)


async def create_slowly(work: UnitOfWork, team: Team) -> None:
    """Create a project whose commit takes as long as somebody holds the lock."""
    async with work.begin(tenant_id=team.owner.tenant_id, actor_id=team.owner.user_id) as ctx:
        owner = team.owner
        user = CurrentUser(owner.user_id, owner.email, "Some Body", is_superuser=False, session_id=owner.user_id)
        await ProjectService(replace(ctx, user=user)).create(ProjectCreate(name="slow"))
