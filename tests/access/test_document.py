"""The OpenAPI document says of every operation who may call it, as the route declares it."""

from typing import Any

import pytest

from app.core.openapi import document
from app.core.permissions import Access
from app.core.routing import AccessRoute, operations
from app.main import bare_app

APP = bare_app()
DOCUMENT = document(APP)
ROUTES = {f"{method} {path}": route for method, path, route in operations(APP)}
DOCUMENTED = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}

SIGN_IN = {f"POST /api/v1/{name}" for name in ("auth/login", "auth/token", "auth/refresh", "invitations/accept")}
"""Open, and refused with 401 all the same: what they are sent are the credentials."""


def test_every_operation_is_documented() -> None:
    """The routes that answer are the operations of the document, one for one."""
    assert ROUTES.keys() == DOCUMENTED.keys()
    assert len(ROUTES) > 10


@pytest.mark.parametrize("name", ROUTES)
def test_the_document_says_what_the_route_declares(name: str) -> None:
    """`x-access` is a string on every operation: what stands above the endpoint, and what the route enforces."""
    route: AccessRoute = ROUTES[name]
    declared: Access = route.endpoint.__access__  # type: ignore[attr-defined]
    assert DOCUMENTED[name]["x-access"] == str(route.access) == str(declared)


@pytest.mark.parametrize("name", ROUTES)
def test_sign_in_and_refusals_are_documented(name: str) -> None:
    """What is not open asks for the token and may answer 401, and 403 to a key; a permission asks for the tenant."""
    operation, access = DOCUMENTED[name], ROUTES[name].access
    assert operation.get("security", []) == ([] if access.open else [{"bearer": []}, {"oauth2": []}])
    assert ("401" in operation["responses"]) == (not access.open or name in SIGN_IN)
    assert ("403" in operation["responses"]) == (not access.open)
    assert [one["required"] for one in headers(operation, "X-Tenant-ID")] == [True] * (access.resource is not None)
    for response in (one for status, one in operation["responses"].items() if status in {"401", "403", "default"}):
        assert response["content"].keys() == {"application/problem+json"}


def headers(operation: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the header parameters of that name."""
    return [one for one in operation.get("parameters", []) if (one["in"], one["name"]) == ("header", name)]


def test_the_schemes_are_defined() -> None:
    """The schemes that operations name stand among the components; the page fetches a token where there is one."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    address = schemes["oauth2"]["flows"]["password"]["tokenUrl"]
    (kind,) = DOCUMENT["paths"][f"/{address}"]["post"]["requestBody"]["content"]
    assert kind == "application/x-www-form-urlencoded"
