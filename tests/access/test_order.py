"""The order of refusals: sign-in and tenant before the body is read, permission before it is parsed."""

import uuid

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.access.roles import OPERATIONS, Cast
from tests.access.wire import Headers, ask
from tests.examples import Examples, Operation
from tests.support import Caller, Team, register

CLOSED = [name for name, one in OPERATIONS.items() if one.access != "open"]
OF_TENANTS = [name for name, one in OPERATIONS.items() if one.needs_tenant]
WITH_BODY = [name for name in CLOSED if OPERATIONS[name].body is not None]
WITH_OBJECT = [name for name in OF_TENANTS if OPERATIONS[name].named("path")]

TENANT = "0198c0de-0000-7000-8000-00000000cafe"
BAD_TENANTS: dict[str, list[str]] = {
    "missing": [],
    "empty": [""],
    "doubled": [TENANT, TENANT],
    "two": [TENANT, str(uuid.UUID(int=1))],
    "joined": [f"{TENANT}, {TENANT}"],
    "malformed": ["acme"],
    "too_short": [TENANT[:-1]],
    "too_long": [TENANT + "0"],
    "braces": [f"{{{TENANT}}}"],
    "upper_case": [TENANT.upper()],
    "without_dashes": [TENANT.replace("-", "")],
    "urn": [f"urn:uuid:{TENANT}"],
    "padded": [f" {TENANT} "],
    "other_digits": [TENANT.replace("0", "\N{FULLWIDTH DIGIT ZERO}")],
    "quoted": [f"'{TENANT}'"],
    "sql": [f"{TENANT}'; reset role; --"],
}
NO_SIGN_IN: dict[str, list[str]] = {
    "missing": [],
    "empty": [""],
    "no_token": ["Bearer"],
    "blank_token": ["Bearer "],
    "another_scheme": ["Basic dXNlcjpwYXNz"],
    "no_jwt": ["Bearer nonsense"],
}


def lines(name: str, values: list[str]) -> Headers:
    """Return one header line for each value."""
    return [(name.encode(), value.encode()) for value in values]


def a_path(operation: Operation) -> str:
    """Return a path that is right in form."""
    path: str = operation.request(Examples(operation.components, "x"))["path"]
    return path


@pytest.mark.parametrize("name", CLOSED)
async def test_without_sign_in_no_body_is_read(name: str, application: FastAPI) -> None:
    """Whatever is asked, 401 is the answer, and nobody asked for the body."""
    operation = OPERATIONS[name]
    exchange = await ask(application, operation.method, a_path(operation), lines("x-tenant-id", [TENANT]))
    assert (exchange.status, exchange.code, exchange.reads) == (401, "unauthenticated", 0)
    assert exchange.headers[b"www-authenticate"] == b"Bearer"


@pytest.mark.parametrize("case", NO_SIGN_IN)
async def test_what_is_no_token_is_refused_first(case: str, application: FastAPI) -> None:
    """Also before the tenant's header is looked at, and before the body is found to be no JSON."""
    headers = lines("authorization", NO_SIGN_IN[case]) + lines("x-tenant-id", ["acme"])
    exchange = await ask(application, "POST", "/projects", headers, b"{")
    assert (exchange.status, exchange.code, exchange.reads) == (401, "unauthenticated", 0)


async def test_two_tokens_are_none(application: FastAPI, somebody: Caller) -> None:
    """A proxy and the application might each believe another one."""
    line = somebody.headers["Authorization"]
    exchange = await ask(application, "GET", "/users/me", lines("authorization", [line, line]))
    assert (exchange.status, exchange.reads) == (401, 0)
    assert (await ask(application, "GET", "/users/me", lines("authorization", [line]))).status == 200


@pytest.mark.parametrize("name", WITH_BODY)
async def test_without_sign_in_no_body_is_parsed(name: str, client: AsyncClient) -> None:
    """Half a JSON document is 401 as well."""
    operation = OPERATIONS[name]
    headers = {"X-Tenant-ID": TENANT, "Content-Type": "application/json"}
    answer = await client.request(operation.method, a_path(operation), headers=headers, content=b"{")
    assert answer.status_code == 401


@pytest.mark.parametrize("name", [name for name in WITH_BODY if name in OF_TENANTS])
async def test_without_permission_no_body_is_parsed(name: str, client: AsyncClient, cast: Cast) -> None:
    """Who may not learns so, who may learns that the body is no JSON."""
    owner = await register(client)
    nobody = (await cast.enter(owner.tenant_id))["nothing"]
    assert (await send_half(nobody, OPERATIONS[name])) == (403, "forbidden")
    if name not in WITH_OBJECT:
        assert (await send_half(owner, OPERATIONS[name])) == (400, "malformed_json")


async def send_half(caller: Caller, operation: Operation) -> tuple[int, str]:
    """Return status and code for a body that ends too soon."""
    headers = {"Content-Type": "application/json"}
    answer = await caller.call(operation.method, a_path(operation), headers=headers, content=b"{")
    return answer.status_code, answer.json()["code"]


@pytest.mark.parametrize("name", WITH_OBJECT)
async def test_without_permission_no_path_is_parsed(name: str, client: AsyncClient, cast: Cast) -> None:
    """The same of a malformed identifier: 403 to who may not, 422 to who may."""
    operation, owner = OPERATIONS[name], await register(client)
    nobody = (await cast.enter(owner.tenant_id))["nothing"]
    examples = Examples(operation.components, "x")
    request = operation.request(examples, dict.fromkeys(operation.named("path"), "no-identifier"))
    assert (await nobody.call(**request)).status_code == 403
    assert (await owner.call(**request)).status_code == 422


@pytest.mark.parametrize("name", OF_TENANTS)
async def test_without_a_tenant_no_body_is_read(name: str, application: FastAPI, somebody: Caller) -> None:
    """Every operation of a tenant asks for the header first."""
    operation, headers = OPERATIONS[name], lines("authorization", [somebody.headers["Authorization"]])
    exchange = await ask(application, operation.method, a_path(operation), headers)
    assert (exchange.status, exchange.code, exchange.reads) == (400, "tenant_header", 0)


@pytest.mark.parametrize("case", BAD_TENANTS)
async def test_what_names_no_single_tenant_is_refused(case: str, application: FastAPI, somebody: Caller) -> None:
    """There is one spelling, once; anything else is 400 before the body is read, also of one's own tenant."""
    own = str(somebody.tenant_id)
    values = [value.replace(TENANT, own).replace(TENANT.upper(), own.upper()) for value in BAD_TENANTS[case]]
    headers = lines("authorization", [somebody.headers["Authorization"]]) + lines("x-tenant-id", values)
    exchange = await ask(application, "POST", "/projects", headers, b"{")
    assert (exchange.status, exchange.code, exchange.reads) == (400, "tenant_header", 0)


@pytest.mark.parametrize("tenant", ["never was", "nil", "the system's", "a stranger's"])
async def test_a_tenant_that_is_not_ones_own_is_missing(tenant: str, team: Team) -> None:
    """Whether there is such a tenant or not, the answer is one and the same 404, before the body is parsed."""
    selected = {
        "never was": TENANT,
        "nil": str(uuid.UUID(int=0)),
        "the system's": str(SYSTEM_TENANT_ID),
        "a stranger's": str(team.stranger.tenant_id),
    }[tenant]
    headers = {"X-Tenant-ID": selected, "Content-Type": "application/json"}
    answer = await team.owner.call("POST", "/projects", headers=headers, content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (404, "tenant_not_found")
    assert selected not in answer.text


async def test_who_selects_no_tenant_needs_no_header(somebody: Caller) -> None:
    """An operation that asks for sign-in alone does not look at the header."""
    answer = await somebody.call("GET", "/users/me", headers={"X-Tenant-ID": "acme"})
    assert answer.status_code == 200
