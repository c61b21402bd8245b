"""A tenant that has switched a module off, and the others."""

import uuid

import pytest

from app.core.routing import operations
from app.main import bare_app
from app.routes import PREFIX
from tests.access.roles import OPERATIONS
from tests.examples import Examples
from tests.support import Caller, Cluster, Team

MODULE_OF = {
    f"{method} {path.removeprefix(PREFIX)}": route.access.module for method, path, route in operations(bare_app())
}
MODULES = sorted({module for module in MODULE_OF.values() if module})


async def refused(caller: Caller) -> set[str]:
    """Return the operations of tenants that answer that their module is switched off.

    What would change the tenant itself, its modules among the rest, is left out.
    """
    found = set()
    for name, operation in OPERATIONS.items():
        if operation.needs_tenant and (operation.is_read or not operation.path.startswith("/tenants/current")):
            answer = await caller.call(**operation.request(Examples(operation.components, str(uuid.uuid4()))))
            assert answer.status_code < 500, answer.text
            if answer.status_code == 403:
                assert answer.json()["code"] == "module_disabled"
                found.add(name)
    return found


async def switch_off(cluster: Cluster, database: str, tenant_id: uuid.UUID, *modules: str) -> None:
    """Set which modules a tenant does not use."""
    query = "update tenants set disabled_modules = cast(:modules as text[]) where id = :tenant returning 1"
    assert await cluster.rows(database, query, modules=list(modules), tenant=tenant_id)


@pytest.mark.parametrize("module", MODULES)
async def test_every_operation_of_a_module_goes_with_it(
    module: str, team: Team, cluster: Cluster, database: str
) -> None:
    """Switched off it answers 403 in that tenant, the rest goes on, other tenants go on, and it comes back."""
    of_module = {name for name, of in MODULE_OF.items() if of == module}
    assert await refused(team.owner) == set()
    await switch_off(cluster, database, team.owner.tenant_id, module)
    assert await refused(team.owner) == of_module
    assert await refused(team.stranger) == set()
    await switch_off(cluster, database, team.owner.tenant_id)
    assert await refused(team.owner) == set()


async def test_a_whole_router_belongs_to_its_module(team: Team, cluster: Cluster, database: str) -> None:
    """What the router says once holds for each of its operations; names of modules nobody has do nothing."""
    by_path = {name for name in OPERATIONS if name.split()[1].startswith("/projects")}
    assert {name for name, of in MODULE_OF.items() if of == "projects"} == by_path
    assert len(by_path) == 11
    await switch_off(cluster, database, team.owner.tenant_id, "Projects", "project", "no such module")
    assert await refused(team.owner) == set()
    await switch_off(cluster, database, team.owner.tenant_id, *MODULES)
    assert await refused(team.owner) == {name for name, of in MODULE_OF.items() if of}


@pytest.mark.parametrize("role", ["admin", "member", "viewer"])
async def test_nobody_goes_round_a_switched_off_module(role: str, team: Team, cluster: Cluster, database: str) -> None:
    """Reading one's own project is off as well, whatever the role; a stranger still learns of no tenant."""
    project = await team.owner.create_project()
    await switch_off(cluster, database, team.owner.tenant_id, "projects")
    answer = await team[role].call("GET", f"/projects/{project['id']}")
    assert (answer.status_code, answer.json()["code"]) == (403, "module_disabled")
    stranger = await team.stranger.call("GET", "/projects", headers={"X-Tenant-ID": str(team.owner.tenant_id)})
    assert stranger.status_code == 404
