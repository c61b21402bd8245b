"""Routers that nobody told the generated check about: the careless ones do not get past it, the careful one does."""

import uuid

from sqlalchemy import select, text

from app.auth.permissions import access_control
from app.core.routing import CurrentContext, Router
from app.exceptions import NotFoundError
from app.modules.projects.models import Project
from app.modules.projects.permissions import ProjectPermission
from app.modules.projects.repository import ProjectRepository
from app.routes import ROUTERS
from app.utils.schemas import DefaultResponse, InputSchema
from tests.examples import operations_of
from tests.isolation.intruder import leaks_of
from tests.isolation.lanes import open_lane
from tests.isolation.rivals import furnish
from tests.support import Cluster

HURRY = {"unscoped": "in a hurry"}
ARCHIVE = text("update projects set status = 'archived' where id = :id")

careless = Router(prefix="/careless", tags=["careless"])


@careless.get("/names")
@access_control(ProjectPermission.read)
async def names(ctx: CurrentContext) -> list[str]:
    """Read past the filter, and forget the tenant."""
    return list(await ctx.session.scalars(text("select name from projects"), execution_options=HURRY))


@careless.get("/found")
@access_control(ProjectPermission.read)
async def found(name: str, ctx: CurrentContext) -> list[uuid.UUID]:
    """Do the same, and only for who knows what to ask for."""
    query = text("select id from projects where name like '%' || :name || '%'")
    return list(await ctx.session.scalars(query, {"name": name}, execution_options=HURRY))


class Reference(InputSchema):
    """A body that names an object."""

    project_id: uuid.UUID


@careless.post("/archive")
@access_control(ProjectPermission.write)
async def archive(data: Reference, ctx: CurrentContext) -> DefaultResponse:
    """Write past the filter to whatever the body names, and say nothing of it."""
    await ctx.session.execute(ARCHIVE, {"id": data.project_id}, execution_options=HURRY)
    ctx.quiet("nobody needs to know")
    return DefaultResponse(msg="done")


@careless.post("/{project_id}/close")
@access_control(ProjectPermission.write)
async def close(project_id: uuid.UUID, ctx: CurrentContext) -> DefaultResponse:
    """Write past the filter, and answer like one that found nothing."""
    async with ctx.separate() as other:
        await other.session.execute(ARCHIVE, {"id": project_id}, execution_options=HURRY)
        other.quiet("nobody needs to know")
    raise NotFoundError


@careless.get("/of/{tenant_id}")
@access_control(ProjectPermission.read)
async def of(tenant_id: uuid.UUID, ctx: CurrentContext) -> list[str]:
    """Open a session of whatever tenant the caller names: what neither line can know to be wrong."""
    async with ctx.separate(tenant_id) as other:
        return [project.name for project in await other.session.scalars(select(Project))]


careful = Router(prefix="/careful", tags=["careful"])


@careful.get("/{project_id}")
@access_control(ProjectPermission.read)
async def name(project_id: uuid.UUID, ctx: CurrentContext) -> str:
    """Read as everybody should."""
    return (await ProjectRepository(ctx.session).get(project_id)).name


async def leaks_by_path(cluster: Cluster, *, policies: bool) -> dict[str, list[str]]:
    """Return what the generated check finds in an application that has these routers as well."""
    async with open_lane(cluster, policies=policies, routers=[*ROUTERS, careless, careful]) as lane:
        found: dict[str, list[str]] = {}
        rival = None
        for one in operations_of(lane.app.openapi()):
            if one.path.startswith("/care"):
                rival = rival or await furnish(lane)
                leaks = found[one.path] = await leaks_of(one, lane, rival)
                # Whom somebody changed is no measure for the next one.
                rival = None if leaks else rival
        return found


async def test_careless_routes_are_found_by_standing_in_the_document(cluster: Cluster) -> None:
    """Where only the filter stands, every statement that goes round it is found, and the careful route is not."""
    leaks = await leaks_by_path(cluster, policies=False)
    assert {path for path, found in leaks.items() if found} == {
        "/careless/names",
        "/careless/found",
        "/careless/archive",
        "/careless/{project_id}/close",
        "/careless/of/{tenant_id}",
    }
    assert "/careful/{project_id}" in leaks


async def test_what_neither_line_stops_is_found_as_well(cluster: Cluster) -> None:
    """As shipped, the policies stop what the filter cannot see; a session of another tenant is found by the check."""
    leaks = await leaks_by_path(cluster, policies=True)
    assert [path for path, found in leaks.items() if found] == ["/careless/of/{tenant_id}"]
