"""Every error as a problem document (RFC 9457): the one renderer, and the handlers that lead to it.

`answer` turns any exception into a response. What an author wrote for the client is shown (`AppError`, and
`HTTPException` below 500); of everything else the client learns that it failed and the request id, and the
log learns the rest.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import quote

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

from app.exceptions import (
    AppError,
    BadRequestError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    PreconditionFailedError,
    RateLimitedError,
    RequestTimeoutError,
    UnauthenticatedError,
    UnavailableError,
    UnprocessableError,
)
from app.extensions.bodies import MalformedJSONError
from app.extensions.faults import Fault, safe_faults
from app.extensions.logs import get_logger

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:groundplan:error:"
LONGEST_PATH = 1_000
PATH_CHARACTERS = "/:@!$&'()*+,;=~"

log = get_logger(__name__)


class Problem(BaseModel):
    """What every error answers (RFC 9457)."""

    type: str = Field(description="A URN for the kind of error; it ends with `code`.")
    title: str = Field(description="The kind of error in a few words.")
    status: int = Field(description="The HTTP status, repeated.")
    detail: str = Field(description="What went wrong this time, for people.")
    instance: str = Field(description="The path of the request.")
    code: str = Field(description="What a program branches on; it never changes.")
    request_id: str = Field(description="Names this request in the logs; the same as in `X-Request-ID`.")
    errors: list[Fault] | None = Field(None, description="Each value that was refused, and where it stands.")


class InvalidRequestError(UnprocessableError):
    """The request does not have the form that this operation expects; `errors` names each place."""

    code, title = "validation_error", "Invalid request"


class InternalError(AppError):
    """Something failed on our side. Mention the request id when you report it."""


@dataclass(frozen=True, slots=True)
class PlainRefusal:
    """A refusal by the framework, whose status has no class of ours; read like an `AppError`."""

    status: int
    code: str
    title: str
    detail: str
    headers: Mapping[str, str]
    errors: list[dict[str, Any]] = field(default_factory=list)


Refusal = AppError | PlainRefusal

BY_STATUS: dict[int, type[AppError]] = {
    kind.status: kind
    for kind in (
        BadRequestError,
        UnauthenticatedError,
        ForbiddenError,
        NotFoundError,
        RequestTimeoutError,
        ConflictError,
        PreconditionFailedError,
        PayloadTooLargeError,
        UnprocessableError,
        RateLimitedError,
        InternalError,
        UnavailableError,
    )
}
"""The class that speaks when the framework refuses with that status."""


def problem_schemas() -> dict[str, Any]:
    """Return what `components.schemas` of an OpenAPI document needs for `Problem`."""
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    return {**schema.pop("$defs"), "Problem": schema}


def install(app: FastAPI) -> None:
    """Make the application answer every error with a problem.

    The handler of `Exception` is only a net: `middleware.ErrorBoundary` answers before it, without a second
    stack.
    """
    for kind in (AppError, HTTPException, RequestValidationError, ResponseValidationError, Exception):
        app.add_exception_handler(kind, handle)


async def handle(request: Request, error: Exception) -> Response:
    """Answer an exception, in the form that Starlette wants of a handler; a client that left gets nothing."""
    if isinstance(error.__cause__, ClientDisconnect):
        # FastAPI makes a 400 of it while it reads a body. Nobody is left to answer, and nothing is wrong.
        raise error.__cause__
    return answer(request.scope, error)


def answer(scope: Scope, error: Exception) -> Response:
    """Return the response for an exception, and log what no author of a route foresaw."""
    if isinstance(error, HTTPException) and error.status_code < HTTPStatus.BAD_REQUEST:
        return Response(status_code=error.status_code, headers=_safe_headers(error.headers or {}))
    refusal = _refusal(scope, error)
    if refusal.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        _log(error)
    return problem_response(scope, refusal)


def problem_response(scope: Scope, error: Refusal) -> Response:
    """Return the problem document for a refused request; it is itself an ASGI application.

    Plain middleware sends it with `await problem_response(scope, error)(scope, receive, send)`. The code is
    left in the request's state, for the line of the request tracker.
    """
    state = scope.setdefault("state", {})
    state["error_code"] = error.code
    document = {
        "type": TYPE_PREFIX + error.code,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": quote(scope["path"][:LONGEST_PATH], safe=PATH_CHARACTERS, errors="replace"),
        "code": error.code,
        "request_id": state.get("request_id", ""),
    }
    if error.errors:
        document["errors"] = error.errors
    body = _encoded(document)
    headers = {**_safe_headers(error.headers), "content-length": str(len(body))}
    # The answer to HEAD has the headers of the one to GET, and no body.
    content = b"" if scope.get("method") == "HEAD" else body
    return Response(content, error.status, headers, MEDIA_TYPE)


def _refusal(scope: Scope, error: Exception) -> Refusal:
    """Return what the client may know of an exception."""
    match error:
        case AppError():
            return error
        case RequestValidationError():
            return _from_validation(error)
        case HTTPException():
            return _from_framework(scope, error)
        case _:
            return InternalError()


def _from_validation(error: RequestValidationError) -> AppError:
    """Return 400 for what is no JSON at all, 422 for JSON of another form."""
    cause = error.__cause__
    if isinstance(cause, json.JSONDecodeError):
        return MalformedJSONError(
            f"The body is not valid JSON: {cause.msg}, at line {cause.lineno}, column {cause.colno}."
        )
    return InvalidRequestError(errors=safe_faults(error.errors()))


def _from_framework(scope: Scope, error: HTTPException) -> Refusal:
    """Return the refusal for an error of Starlette or FastAPI, under the name that its status has here."""
    status = error.status_code
    if status == HTTPStatus.BAD_REQUEST and error.__cause__ is not None:
        return _from_reading(scope, error, error.__cause__)
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        return _method_not_allowed(scope, error)
    return _from_status(error)


def _from_reading(scope: Scope, error: HTTPException, cause: BaseException) -> Refusal:
    """Return what stands behind the 400 that FastAPI makes of anything raised while it reads a body."""
    if isinstance(cause, AppError):
        return cause
    # A text that is not UTF-8, nesting or digits without end.
    is_json = "json" in Headers(scope=scope).get("content-type", "")
    if is_json and isinstance(cause, ValueError | RecursionError):
        return MalformedJSONError()
    return _from_status(error)


def _from_status(error: HTTPException) -> PlainRefusal:
    """Return a refusal by its status; what is said beyond the status' own name is shown below 500."""
    status, detail = error.status_code, cast("object", error.detail)
    phrase = _phrase(status)
    kind = BY_STATUS.get(status)
    known = kind() if kind else None
    own = isinstance(detail, str) and detail not in ("", phrase) and status < HTTPStatus.INTERNAL_SERVER_ERROR
    return PlainRefusal(
        status=status,
        code=known.code if known else re.sub(r"[^a-z0-9]+", "_", phrase.lower()),
        title=known.title if known else phrase,
        detail=str(detail) if own else known.detail if known else f"{phrase}.",
        headers={**(known.headers if known else {}), **(error.headers or {})},
    )


def _method_not_allowed(scope: Scope, error: HTTPException) -> PlainRefusal:
    """Return 405 with every method of the path: FastAPI names those of the first route that has it only."""
    given = (error.headers or {}).get("Allow", "")
    allowed = {method.strip() for method in given.split(",") if method.strip()}
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    app = scope.get("app")
    for route in iter_route_contexts(app.routes if isinstance(app, FastAPI) else []):
        if route.methods and route.path_regex.match(path):
            allowed |= route.methods
    detail = "This address does not answer that method; the header Allow lists the ones it does."
    headers = {"Allow": ", ".join(sorted(allowed))}
    return PlainRefusal(error.status_code, "method_not_allowed", "Method not allowed", detail, headers)


def _phrase(status: int) -> str:
    """Return the name of a status, also of one that has none."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Status {status}"


def _log(error: Exception) -> None:
    """Log a failure of ours, once: with its stack when nobody foresaw it."""
    if isinstance(error, AppError | HTTPException):
        log.warning("request_failed", error=error, cause=error.__cause__)
    elif isinstance(error, ResponseValidationError):
        # Its text holds the whole body that did not fit.
        silent = ValueError("the answer does not fit its declaration")
        stack = (type(error), silent, error.__traceback__)
        log.error("unhandled_error", exc_info=stack, faults=safe_faults(error.errors()))
    else:
        log.error("unhandled_error", exc_info=error)


def _encoded(document: dict[str, Any]) -> bytes:
    """Return JSON, whatever an author put into it: other types as text, lone surrogates as question marks."""
    try:
        return orjson.dumps(document, default=str, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:
        return json.dumps(document, default=str, ensure_ascii=False).encode("utf-8", "replace")


def _safe_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers whose values any server can send: visible ASCII."""
    return {name: re.sub(r"[^\x20-\x7e]", "?", value) for name, value in headers.items()}
