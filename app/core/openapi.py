"""The OpenAPI document: access, headers and errors of every operation, written where they are enforced."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.core.permissions import Access
from app.extensions.problems import problem_schemas

PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
TENANT_HEADER = {
    "name": "X-Tenant-ID",
    "in": "header",
    "required": True,
    "description": "selects one of the caller's tenants",
    "schema": {"type": "string", "format": "uuid"},
}
TOKEN_URL = "api/v1/auth/token"  # noqa: S105 - an address, relative to the documentation's page
SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
    "oauth2": {"type": "oauth2", "flows": {"password": {"tokenUrl": TOKEN_URL, "scopes": {}}}},
}
"""Two ways to the same token: one pastes it, the other lets the documentation's page fetch it."""
KEY_HEADER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "a new UUID for each request; the same request sent again with it is answered, and not done, again",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[!#-~][!-~]*$"},
}

REFUSALS = {
    400: "Not to be understood: the body is no JSON, or a header, a cursor or a token is none",
    404: "No such thing here",
    408: "The body did not arrive in time",
    409: "In conflict with what is stored",
    412: "Another version than If-Match names",
    413: "The body is too large",
    422: "Not of the form that is asked for",
    429: "Too many of these in a short time; Retry-After says when to come again",
    503: "Busy, or without its database; Retry-After says when to come again",
}
"""What an operation may answer beside its own; which of them, `refusals` tells."""


MOCKED: dict[int | str, Any] = {
    **{status: {"description": "An example of such an answer"} for status in (201, 202, 204, 206)},
    **{status: {"description": text, "content": PROBLEM} for status, text in REFUSALS.items()},
    416: {"description": "There are no such bytes", "content": PROBLEM},
}
"""What a mock may answer beside 200, 401 and 403: whatever the operation that it stands for may."""


def document_access(access: Access, options: dict[str, Any]) -> dict[str, Any]:
    """Return a route's options with `x-access`, the sign-in, the tenant's header and the errors in them."""
    extra: dict[str, Any] = {"x-access": str(access)}
    errors: dict[int | str, Any] = {"default": {"description": "A problem (RFC 9457)", "content": PROBLEM}}
    if not access.open:
        extra["security"] = [{"bearer": []}, {"oauth2": []}]
        errors[401] = {"description": "Not signed in", "content": PROBLEM}
        errors[403] = {"description": "Not allowed", "content": PROBLEM}
    if access.needs_tenant:
        extra["parameters"] = [TENANT_HEADER]
    return {
        **options,
        "openapi_extra": extra | (options.get("openapi_extra") or {}),
        "responses": errors | (options.get("responses") or {}),
    }


def document_key(options: dict[str, Any]) -> dict[str, Any]:
    """Return a route's options with the header Idempotency-Key and its errors in them."""
    extra = options["openapi_extra"]
    errors: dict[int | str, Any] = {
        409: {"description": "In conflict with what is stored, or a request with this key is under way"},
        422: {"description": "Not of the form that is asked for, or this key was used for another request"},
    }
    responses = {status: {**error, "content": PROBLEM} for status, error in errors.items()}
    return {
        **options,
        "openapi_extra": {**extra, "parameters": [*extra.get("parameters", []), KEY_HEADER]},
        "responses": responses | options["responses"],
    }


def document_stream(options: dict[str, Any]) -> dict[str, Any]:
    """Return a route's options with a body of plain bytes, of whatever type, in them."""
    content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    body = {"requestBody": {"description": "the content, as it is", "content": content}}
    return {**options, "openapi_extra": {**options["openapi_extra"], **body}}


def refusals(method: str, operation: dict[str, Any]) -> Iterator[int]:
    """Yield the statuses of refusals that what an operation takes brings along."""
    parameters = operation.get("parameters", [])
    names, places = ({one[key] for one in parameters} for key in ("name", "in"))
    has_body, writes = "requestBody" in operation, method != "get"
    yield from (429, 503)
    if has_body:
        yield from (408, 413)
    # A POST may bring an Idempotency-Key that is none, or one where none is taken.
    if has_body or method == "post" or names & {"X-Tenant-ID", "If-Match", "cursor"}:
        yield 400
    if "X-Tenant-ID" in names or "path" in places:
        yield 404
    if writes:
        yield 409
    if "If-Match" in names:
        yield 412
    if has_body or places & {"path", "query"} or names & {"If-Match", "Idempotency-Key"}:
        yield 422


def document_refusals(schema: dict[str, Any]) -> None:
    """Write into each operation what it may refuse; what its route declares itself stays."""
    for item in schema["paths"].values():
        for method, operation in item.items():
            found = {
                str(status): {"description": REFUSALS[status], "content": PROBLEM}
                for status in refusals(method, operation)
            }
            operation["responses"] = dict(sorted({**found, **operation["responses"]}.items()))


def operation_id(route: APIRoute) -> str:
    """Return the name that generated clients give an operation: `project_create` for `ProjectRoutes.create`."""
    return route.endpoint.__qualname__.replace("Routes.", "_").lower()


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document, made once: FastAPI's own, with the shape of problems and the way to sign in."""
    if not app.openapi_schema:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        components = schema.setdefault("components", {})
        components.setdefault("schemas", {}).update(problem_schemas())
        components["securitySchemes"] = SCHEMES
        document_refusals(schema)
        app.openapi_schema = schema
    return app.openapi_schema
