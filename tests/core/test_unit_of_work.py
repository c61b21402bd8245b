"""The unit of work over HTTP: what is committed, when, and what is not."""

from collections.abc import Awaitable, Callable

import orjson
import pytest
from fastapi import FastAPI
from sqlalchemy import select, text
from starlette.types import Message

from app.core.context import Context
from app.core.exceptions import SilentChangeError
from app.core.outbox import LEASE, START
from app.core.unit_of_work import UnitOfWork
from app.db.exceptions import TenantViolationError
from app.exceptions import ForbiddenError
from app.modules.projects.models import Project
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from app.tenants.models import Membership
from app.utils.helpers import uuid7
from tests.core.conftest import Stage
from tests.core.trial import Step, Unheard, run_sql, silent_project
from tests.support import Caller, Cluster, Team

Count = Callable[[Caller, str], Awaitable[int]]


@pytest.fixture
def count(cluster: Cluster, database: str) -> Count:
    """Return what counts the projects of a name in a caller's tenant, past every policy."""

    async def rows(caller: Caller, name: str) -> int:
        query = "select id from projects where tenant_id = :tenant and name = :name"
        return len(await cluster.rows(database, query, tenant=caller.tenant_id, name=name))

    return rows


async def test_the_commit_comes_before_the_first_byte(application: FastAPI, team: Team, count: Count) -> None:
    """When the answer's head is sent, everybody else sees the row already."""
    seen: list[int] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": orjson.dumps({"name": "early"}), "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            assert message["status"] == 201
            seen.append(await count(team.owner, "early"))

    headers = [(name.lower().encode(), value.encode()) for name, value in team.owner.headers.items()]
    path = "/api/v1/projects"
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*headers, (b"content-type", b"application/json")],
    }
    await application(scope, receive, send)
    assert seen == [1]


async def announced(ctx: Context) -> None:
    """Create a project as the service does, then refuse."""
    await ProjectService(ctx).create(ProjectCreate(name="refused"))
    raise ForbiddenError


async def test_a_refusal_after_a_write_undoes_it(
    stage: Stage, team: Team, count: Count, cluster: Cluster, database: str
) -> None:
    """Neither the row, nor its audit row, nor its notices are left: the refusal alone is audited."""
    async with stage(team.owner, announced) as caller:
        assert (await caller.call("POST", "/trial")).status_code == 403
    assert await count(team.owner, "refused") == 0
    tenant = {"tenant": team.owner.tenant_id}
    assert await cluster.rows(database, "select 1 from notifications where tenant_id = :tenant", **tenant) == []
    audited = await cluster.rows(database, "select action from audit_entries where tenant_id = :tenant", **tenant)
    assert {row.action for row in audited} == {"tenant.created", "user.registered", "access.denied"}


async def silent(ctx: Context) -> None:
    """Change a row of the tenant and tell nobody."""
    silent_project(ctx, "silent")


async def quiet(ctx: Context) -> None:
    """Do the same and say why."""
    silent_project(ctx, "quiet")
    ctx.quiet("a test says so")


async def reasonless(ctx: Context) -> None:
    """Do the same and give no reason."""
    silent_project(ctx, "reasonless")
    ctx.quiet(" ")


async def unheard(ctx: Context) -> None:
    """Announce what the hub does not know."""
    project = silent_project(ctx, "unheard")
    await ctx.session.flush()
    await ctx.emit(Unheard(object_id=project.id))


async def by_text(ctx: Context) -> None:
    """Write past the ORM and tell nobody."""
    await run_sql(ctx, "update projects set description = 'by text'")


@pytest.mark.parametrize(
    ("step", "status", "rows"),
    [(silent, 500, 0), (quiet, 200, 1), (reasonless, 500, 0), (unheard, 500, 0), (by_text, 500, 0)],
)
async def test_a_change_must_be_announced(
    stage: Stage, team: Team, count: Count, step: Step, status: int, rows: int
) -> None:
    """A transaction that changed rows commits only with an event that the hub knows, or with a reason."""
    async with stage(team.owner, step) as caller:
        assert (await caller.call("POST", "/trial")).status_code == status
    assert await count(team.owner, step.__name__) == rows


async def test_a_silent_change_names_its_table(work: UnitOfWork, team: Team) -> None:
    """Whoever forgot the event reads which table it was about."""
    with pytest.raises(SilentChangeError, match="changed projects: emit an event"):
        async with work.begin(tenant_id=team.owner.tenant_id, actor_id=team.owner.user_id) as ctx:
            ctx.session.add(Project(name="x", description="", created_by=team.owner.user_id))


async def test_a_read_cannot_write(stage: Stage, team: Team, count: Count) -> None:
    """The transaction of a GET is read-only, whatever its code tries."""
    async with stage(team.owner, quiet) as caller:
        assert (await caller.call("GET", "/trial")).status_code == 500
        assert (await caller.call("POST", "/trial")).status_code == 200
    assert await count(team.owner, "quiet") == 1


async def beside(ctx: Context) -> None:
    """Write in a transaction of its own, then refuse."""
    async with ctx.separate() as other:
        await ProjectService(other).create(ProjectCreate(name="beside"))
    raise ForbiddenError


async def test_a_separate_write_survives_the_refusal(stage: Stage, team: Team, count: Count) -> None:
    """What a refusal must not undo is committed before it."""
    async with stage(team.owner, beside, pool_size=1) as caller:
        assert (await caller.call("POST", "/trial")).status_code == 403
    assert await count(team.owner, "beside") == 1


async def moved(ctx: Context) -> None:
    """Insert a row of a tenant that is not the session's."""
    ctx.session.add(Project(tenant_id=uuid7(), name="moved", description="", created_by=ctx.current_user.id))
    ctx.quiet("it never gets there")


async def test_a_row_that_the_policies_refuse_is_not_found(stage: Stage, team: Team) -> None:
    """With the filter off, the policies say no, and the client learns no more than of a missing object."""
    async with stage(team.owner, moved, {"filter_off": True}) as caller:
        answer = await caller.call("POST", "/trial")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def ungranted(ctx: Context) -> None:
    """Ask a table that the role has no right to."""
    await run_sql(ctx, "select 1 from alembic_version")


async def test_a_missing_grant_is_our_fault(stage: Stage, team: Team) -> None:
    """What no policy refused is no missing object: it is a 500, which is logged."""
    async with stage(team.owner, ungranted) as caller:
        answer = await caller.call("POST", "/trial")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")


async def test_hooks_run_after_the_commit_and_only_then(work: UnitOfWork, team: Team, count: Count) -> None:
    """A hook sees the row as everybody does; a rolled back unit of work runs none."""
    seen: list[int] = []

    async def hook() -> None:
        seen.append(await count(team.owner, "hooked"))

    async def create(error: Exception | None) -> None:
        async with work.begin(tenant_id=team.owner.tenant_id, actor_id=team.owner.user_id) as ctx:
            ctx.session.add(Project(name="hooked", description="", created_by=team.owner.user_id))
            ctx.quiet("a test")
            ctx.work.after_commit(hook)
            if error is not None:
                raise error

    with pytest.raises(ForbiddenError):
        await create(ForbiddenError())
    await create(None)
    assert seen == [1]


async def test_a_tenant_is_entered_once_and_before_its_rows(work: UnitOfWork, team: Team) -> None:
    """A context without a tenant may enter one, once, and not after it loaded a tenant's row."""
    async with work.begin(actor_id=team.owner.user_id, read_only=True) as ctx:
        inside = await ctx.enter(team.owner.tenant_id)
        assert inside.tenant_id == team.owner.tenant_id
        assert await inside.session.scalar(select(Membership.role).where(Membership.user_id == team.admin.user_id))
        with pytest.raises(TenantViolationError, match="never changes"):
            await inside.enter(team.stranger.tenant_id)
    async with work.begin(actor_id=team.owner.user_id, read_only=True) as ctx:
        held = await ctx.session.scalar(select(Membership))
        assert held is not None
        with pytest.raises(TenantViolationError, match="never changes"):
            await ctx.enter(team.owner.tenant_id)


async def test_what_an_attempt_enters_ends_with_its_start(team: Team, work: UnitOfWork) -> None:
    """What comes next on the same connection is in no tenant, and waits for the disk again."""
    query = text("""
        select current_setting('app.tenant_id', true), array_agg(source order by name) from pg_settings
        where name in ('lock_timeout', 'synchronous_commit')
    """)

    async def chosen() -> tuple[str, list[str]]:
        async with work.single.connect() as connection:
            tenant, sources = (await connection.execute(query)).one()
            return tenant or "", sources

    usual = await chosen()
    assert await work.alone(START, {"tenant": team.owner.tenant_id, "entry": uuid7(), "lease": LEASE}) is None
    assert await chosen() == usual
    assert "session" not in usual[1]
