"""What is refused at import, so that it never serves a request: by the name of what is wrong."""

import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.auth.permissions import access_control
from app.core.context import Context
from app.core.permissions import CATALOGUE, EVERYONE, OWNERS, Permission, built_in_roles
from app.core.routing import Router, cbv, check_routes
from app.core.services import HealthService
from app.main import bare_app, create_app
from app.routes import ROUTERS
from app.tenants.permissions import TenantPermission

HERE = __name__


async def nothing() -> None:
    """Declare nothing."""


async def starlette_endpoint(_: Request) -> Response:
    """Answer as Starlette's own routes do."""
    return Response()


def application(routers: Sequence[Router]) -> FastAPI:
    """Return an application of these routers, on a database that nobody asks."""
    return create_app(url="postgresql+asyncpg://app_rw@localhost/nobody", routers=routers)


@pytest.fixture
def catalogue() -> Iterator[dict[str, Permission]]:
    """Show the catalogue as it is, and put it back afterwards."""
    before = dict(CATALOGUE)
    yield before
    CATALOGUE.clear()
    CATALOGUE.update(before)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "options", "head", "trace"])
def test_a_route_that_declares_nothing_names_itself(method: str) -> None:
    """Whoever forgets the decorator is told which function forgot it."""
    with pytest.raises(TypeError, match=rf"{HERE}\.nothing declares no access: add @access_control"):
        getattr(Router(), method)("/nothing")(nothing)


def test_a_method_that_declares_nothing_names_itself() -> None:
    """The same of a method, before its class is known."""
    router = Router()
    with pytest.raises(TypeError, match=r"Views\.get declares no access"):

        class Views:
            @router.get("")
            async def get(self) -> None: ...


def test_a_declaration_above_the_route_comes_too_late() -> None:
    """The route reads the declaration when it is made: the decorators' order is no matter of taste."""
    router = Router()
    with pytest.raises(TypeError, match="declares no access"):

        @access_control(open=True)
        @router.get("/late")
        async def late() -> None: ...


@pytest.mark.parametrize(
    "declaration",
    [
        {},
        {"resource": TenantPermission.read, "open": True},
        {"resource": TenantPermission.read, "authenticated": True},
        {"resource": TenantPermission.read, "superuser": True},
        {"open": True, "authenticated": True},
        {"superuser": True, "authenticated": True},
        {"superuser": True, "open": True},
        {"resource": None, "open": False},
    ],
    ids=str,
)
def test_a_declaration_says_exactly_one_thing(declaration: dict[str, Any]) -> None:
    """Neither nothing nor two things."""
    with pytest.raises(TypeError, match="say exactly one of resource, superuser, authenticated, open"):
        access_control(**declaration)


@pytest.mark.parametrize("resource", ["tenants.read", TenantPermission, 1, frozenset({"tenants.read"})], ids=str)
def test_a_resource_is_a_member_of_a_permission_enum(resource: Any) -> None:
    """A string that looks like a permission could be mistyped, and would then be held by nobody."""
    with pytest.raises(TypeError, match="is no member of a Permission enum"):
        access_control(resource)


@pytest.mark.parametrize("declaration", [{"open": True}, {"authenticated": True}, {"superuser": True}], ids=str)
def test_module_and_check_go_with_a_resource(declaration: dict[str, Any]) -> None:
    """Where no tenant is selected there is no module to ask for, and no object."""

    async def check(_: Context) -> bool:
        return True

    for rule in ({"module": "anything"}, {"check": check}):
        with pytest.raises(TypeError, match="module and check go with a resource"):
            access_control(**declaration, **rule)


@pytest.mark.parametrize("outer", [{"open": True}, {"resource": TenantPermission.read}], ids=str)
def test_two_declarations_on_one_operation_are_refused(outer: dict[str, Any]) -> None:
    """The upper one would win silently, and open what the lower one closes."""
    with pytest.raises(TypeError, match=r"delete declares its access twice"):

        @access_control(**outer)
        @access_control(TenantPermission.update)
        async def delete() -> None: ...


def test_a_check_names_parameters_of_the_path() -> None:
    """A check that wants what the path does not name could not be asked."""
    router = Router()

    async def check(_: Context, project_id: uuid.UUID, colour: str) -> bool:
        return str(project_id) == colour

    with pytest.raises(TypeError, match=r"/\{project_id\}: check wants colour, which the path does not name"):

        @router.get("/{project_id}")
        @access_control(TenantPermission.read, check=check)
        async def get(project_id: uuid.UUID) -> None: ...


def test_a_check_says_the_types_of_what_it_wants() -> None:
    """Without a type the path's text could not be read for it."""
    router = Router()

    async def check(_, project_id) -> bool:  # type: ignore[no-untyped-def]  # noqa: ANN001 - that is the mistake
        return bool(project_id)

    with pytest.raises(TypeError, match=r"/\{project_id\}: check .*project_id"):

        @router.get("/{project_id}")
        @access_control(TenantPermission.read, check=check)
        async def get(project_id: uuid.UUID) -> None: ...


def test_a_method_needs_the_cbv_of_its_class() -> None:
    """Without it the method would simply not be there; the application does not start."""
    router = Router()

    class Views:
        @router.get("/forgotten")
        @access_control(open=True)
        async def get(self) -> None: ...

    with pytest.raises(TypeError, match=rf"{HERE}\..*Views\.get waits: decorate its class with @cbv\(router\)"):
        application([*ROUTERS, router])


def test_a_cbv_takes_the_methods_of_its_own_class_only() -> None:
    """A class without the decorator is found when the next one has it."""
    router = Router()

    class Forgotten:
        @router.get("/forgotten")
        @access_control(open=True)
        async def get(self) -> None: ...

    class Views: ...

    with pytest.raises(TypeError, match=r"Forgotten\.get is a method of a class without @cbv"):
        cbv(router)(Views)


class Stranger:
    """Built with something else than a Context."""

    def __init__(self, session: str) -> None:
        self.session = session


@pytest.mark.parametrize(
    "kind",
    [int, str, dict, list[int], Any, int | None, Stranger, Context | None, HealthService | None, Callable],
    ids=str,
)
def test_a_view_holds_contexts_and_services_alone(kind: Any) -> None:
    """Anything else would be made anew for each request, or not at all; the attribute is named."""
    views = type("Views", (), {"__annotations__": {"commons": Context, "odd": kind}})
    with pytest.raises(TypeError, match=r"Views\.odd: .* is neither Context nor built with one"):
        cbv(Router())(views)


def plain_api_router(router: Router) -> None:
    """Include a router of FastAPI's own."""
    plain = APIRouter()
    plain.add_api_route("/past", nothing)
    router.include_router(plain)


def plain_route_under_a_known_name(router: Router) -> None:
    """Do so under the path that the document's page has."""
    plain = APIRouter()
    plain.add_api_route("/docs", nothing)
    router.include_router(plain)


def starlette_route(router: Router) -> None:
    """Add a route that knows no declarations."""
    router.add_route("/past", starlette_endpoint)


def websocket(router: Router) -> None:
    """Add a way that no gate stands before."""

    async def talk() -> None: ...

    router.add_api_websocket_route("/past", talk)


def mounted(router: Router) -> None:
    """Mount an application of its own."""
    router.mount("/past", FastAPI())


def appended(router: Router) -> None:
    """Put a route into the list by hand."""
    router.routes.append(Route("/past", starlette_endpoint))


PAST: list[Callable[[Router], None]] = [
    plain_api_router,
    plain_route_under_a_known_name,
    starlette_route,
    websocket,
    mounted,
    appended,
]


@pytest.mark.parametrize("add", PAST, ids=lambda add: add.__name__)
def test_a_route_that_came_in_past_router_is_refused(add: Callable[[Router], None]) -> None:
    """However it was added, the application does not start, and names the path."""
    router = Router(prefix="/odd")
    add(router)
    with pytest.raises(TypeError, match=r"/(past|docs).* was not added by app\.core\.routing\.Router"):
        application([*ROUTERS, router])


def test_a_route_of_the_application_itself_is_refused() -> None:
    """The check sees what was added beside the routers, too."""
    app = bare_app()
    app.get("/past")(nothing)
    with pytest.raises(TypeError, match="/past was not added by"):
        check_routes(app, beside=frozenset({"/openapi.json", "/docs", "/docs/oauth2-redirect"}))


def test_one_name_belongs_to_one_package(catalogue: dict[str, Permission]) -> None:
    """The second enum that claims a permission is refused, names both, and changes nothing."""
    with pytest.raises(TypeError, match=r"tenants\.read is declared by TenantPermission and Second"):

        class Second(Permission):
            read = "tenants.read", "Read them all.", EVERYONE

    assert catalogue == CATALOGUE
    assert type(CATALOGUE["tenants.read"]) is TenantPermission


def test_a_new_permission_belongs_to_the_roles_it_names(catalogue: dict[str, Permission]) -> None:
    """What a package declares is in the catalogue, and in the built-in roles, from then on."""

    class Fresh(Permission):
        close = "fresh.close", "Close it.", OWNERS

    assert {**catalogue, "fresh.close": Fresh.close} == CATALOGUE
    assert {role: "fresh.close" in names for role, names in built_in_roles().items()} == {
        "owner": True,
        "admin": False,
        "member": False,
        "viewer": False,
    }


def test_a_declaration_wraps_nothing() -> None:
    """The function stays itself: nothing of a caller could be kept in between."""

    async def get() -> None: ...

    declared: Callable[[], Awaitable[None]] = access_control(open=True)(get)
    assert declared is get
