"""The validating mode: what a route declares is what it sends."""

from typing import Any

import orjson
from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError

from app.core.exceptions import AnswerMismatchError


def check_answer(route: APIRoute, response: Response) -> None:
    """Raise `AnswerMismatchError` unless status and JSON body are what the operation declares.

    The body is read by the declared schema and written again: a missing field or a wrong type fails the reading, a
    field too many or another spelling shows as a difference.
    """
    status = response.status_code
    usual = status == (route.status_code or 200)
    model = route.response_model if usual else route.responses.get(status, {}).get("model")
    if not usual and status not in route.responses:
        raise AnswerMismatchError(f"{route.unique_id} answered {status}, which it does not declare")
    if model is None or response.media_type != "application/json":
        return
    served = orjson.loads(bytes(response.body))
    try:
        expected = written(route, model, bytes(response.body))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise AnswerMismatchError(f"{route.unique_id} answered otherwise than declared: {'; '.join(faults)}") from error
    if served != expected:
        raise AnswerMismatchError(f"{route.unique_id} answered otherwise than declared: {difference(served, expected)}")


def written(route: APIRoute, model: Any, body: bytes) -> Any:
    """Return the body as the declared schema would write it."""
    adapter: TypeAdapter[Any] = TypeAdapter(model)
    return adapter.dump_python(
        adapter.validate_json(body),
        mode="json",
        by_alias=route.response_model_by_alias,
        exclude_unset=route.response_model_exclude_unset,
        exclude_none=route.response_model_exclude_none,
    )


def difference(served: Any, expected: Any, where: str = "body") -> str:
    """Return in words the first place where two JSON values differ; never the values."""
    if isinstance(served, dict) and isinstance(expected, dict):
        for key in served.keys() ^ expected.keys():
            return f"{where}.{key} is {'not declared' if key in served else 'missing'}"
        places = [(f"{where}.{key}", served[key], expected[key]) for key in served]
    elif isinstance(served, list) and isinstance(expected, list) and len(served) == len(expected):
        places = [(f"{where}[{index}]", *pair) for index, pair in enumerate(zip(served, expected, strict=True))]
    else:
        return f"{where} is spelled otherwise"
    return next(difference(one, other, place) for place, one, other in places if one != other)
