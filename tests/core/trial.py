"""Operations that no application should have: each does one thing wrong, or slowly, for a test to watch."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Query
from sqlalchemy import text

from app.auth.permissions import access_control
from app.core.context import Context
from app.core.events import Event
from app.core.routing import Router, cbv
from app.modules.projects.models import Project
from app.tenants.permissions import TenantPermission
from app.tenants.schemas import RoleResponse
from app.utils.schemas import DefaultResponse, JSONResponse

Step = Callable[[Context], Awaitable[None]]


class Unheard(Event):
    """An event without a line in the hub."""

    action = "trial.unheard"


def trial_router(step: Step) -> Router:
    """Return a router whose operations run a step of the test in their unit of work."""
    router = Router(prefix="/trial", tags=["trial"])

    @cbv(router)
    class TrialRoutes:
        """One view, two methods: one that may write, one that may not."""

        commons: Context

        @router.post("")
        @access_control(TenantPermission.read)
        async def write(self) -> DefaultResponse:
            """Run the step where writing is allowed."""
            await step(self.commons)
            return DefaultResponse(msg="done")

        @router.get("")
        @access_control(TenantPermission.read)
        async def read(self) -> DefaultResponse:
            """Run the step where it is not."""
            await step(self.commons)
            return DefaultResponse(msg="done")

    return router


async def run_sql(ctx: Context, statement: str, **values: Any) -> None:
    """Run SQL past the filter, still under the policies."""
    await ctx.session.execute(text(statement), values, execution_options={"unscoped": "a test's own statement"})


def silent_project(ctx: Context, name: str) -> Project:
    """Return a new project that nobody announces."""
    project = Project(name=name, description="", created_by=ctx.current_user.id)
    ctx.session.add(project)
    return project


answers = Router(prefix="/answers", tags=["trial"])


@answers.get("/raw", status_code=200, responses={202: {"model": list[RoleResponse]}})
@access_control(open=True)
async def raw(
    body: Annotated[str, Query()] = "{}", status: Annotated[int, Query()] = 200
) -> JSONResponse[DefaultResponse]:
    """Answer any JSON with any status, whatever was declared."""
    answer: JSONResponse[Any] = JSONResponse(None, status)
    answer.body = body.encode()
    answer.init_headers()
    return answer


@answers.get("/lists")
@access_control(open=True)
async def lists(count: Annotated[int, Query()] = 0) -> JSONResponse[list[DefaultResponse]]:
    """Answer a list of schemas, empty ones too."""
    return JSONResponse([DefaultResponse(msg=str(number)) for number in range(count)], 200)
