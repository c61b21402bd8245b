"""Examples of answers: of every operation there is, valid, and not in production."""

from typing import Any

import jsonschema_rs
import orjson
import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient

from app.config import settings
from app.core.mock import Examples, MockService, NoExampleError
from app.core.openapi import document
from app.main import include
from app.routes import ROUTERS
from tests.support import Caller

NODE = {"type": "object", "properties": {"up": {"$ref": "#/components/schemas/Node"}, "name": {"type": "string"}}}
COMPONENTS: dict[str, Any] = {
    "Node": NODE,
    "Base": {"type": "object", "properties": {"id": {"type": "string", "format": "uuid"}}, "required": ["id"]},
    "Endless": {**NODE, "required": ["up"], "properties": {"up": {"$ref": "#/components/schemas/Endless"}}},
}


def faults(schema: dict[str, Any], components: dict[str, Any], value: Any) -> list[str]:
    """Return what is wrong with a value."""
    whole = {**schema, "components": {"schemas": components}}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [f"{error.message} at {error.instance_path}" for error in validator.iter_errors(value)]


async def test_every_answer_of_every_operation_has_a_valid_example(application: FastAPI) -> None:
    """Draw each one twice, alike, and hold it against its schema."""
    found = document(application)
    service, components = MockService(found), found["components"]["schemas"]
    for name, operation in service.operations.items():
        for code, declared in operation["responses"].items():
            if code == "default":
                continue
            response, again = (service.answer(name, int(code)) for _ in range(2))
            assert (response.status_code, response.body) == (int(code), again.body)
            # Where an answer may come in several types, the first is shown.
            for media_type, media in list(declared.get("content", {}).items())[:1]:
                assert response.headers["content-type"].startswith(media_type)
                value = orjson.loads(response.body)
                assert faults(media.get("schema", {}), components, value) == [], (name, code)


@pytest.mark.parametrize(
    "schema",
    [
        *({"type": "string", "format": name} for name in ("uuid", "date-time", "date", "time", "email", "uri", "ipv6")),
        {"type": "string", "minLength": 30, "maxLength": 30, "title": "Code"},
        {"type": "string", "maxLength": 2, "pattern": "^[A-Z]{1,2}$"},
        {"type": "string", "pattern": r"^[a-z][a-z0-9._:-]{0,63}$", "title": "A Name"},
        {"type": ["null", "string"], "enum": ["draft", None]},
        {"anyOf": [{"type": "null"}, {"type": "integer", "exclusiveMinimum": 6, "multipleOf": 4}]},
        {"oneOf": [{"$ref": "#/components/schemas/Base"}, {"type": "null"}]},
        {"type": "number", "exclusiveMaximum": -2},
        {"type": "integer", "minimum": 3, "maximum": 3},
        {"type": "array", "items": {"type": "boolean"}, "minItems": 2},
        {
            "type": "array",
            "prefixItems": [{"const": "a"}, {"type": "null"}],
            "items": False,
            "maxItems": 2,
            "minItems": 2,
        },
        {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1},
        {"allOf": [{"$ref": "#/components/schemas/Base"}], "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        {"$ref": "#/components/schemas/Node", "required": ["name"]},
        {},
    ],
)
def test_draws_what_a_schema_asks_for(schema: dict[str, Any]) -> None:
    """Find a valid value for each kind of schema."""
    assert faults(schema, COMPONENTS, Examples(COMPONENTS).draw(schema)) == []


def test_draws_null_last_and_documented_examples_first() -> None:
    """Show what a reader learns most from."""
    draw = Examples(COMPONENTS).draw
    assert draw({"anyOf": [{"type": "null"}, {"type": "string", "title": "Motto"}]}) == "Motto"
    assert draw({"type": "string", "format": "email", "examples": ["ada@example.org"]}) == "ada@example.org"
    assert draw({"anyOf": [{"type": "string"}, {"type": "null"}], "examples": [None]}) is None
    assert draw({"type": "object", "additionalProperties": {"type": "boolean"}}) == {"key": True}
    assert draw({"type": "array", "items": {"$ref": "#/components/schemas/Node"}}) == [{"name": "text"}]
    for schema in ({"type": "string", "pattern": "^[a-f]{40}z$"}, {"$ref": "#/components/schemas/Endless"}):
        with pytest.raises(NoExampleError, match="Document one"):
            draw(schema)


def test_examples_of_an_answer_win() -> None:
    """Send what the operation documents before anything that is drawn."""
    schema = {"type": "string"}
    media = {
        "get_a": {"schema": schema, "examples": {"one": {"value": "first"}, "two": {"value": "second"}}},
        "get_b": {"schema": schema, "example": "only"},
    }
    paths = {
        f"/{name}": {"get": {"operationId": name, "responses": {"200": {"content": {"application/json": one}}}}}
        for name, one in media.items()
    }
    service = MockService({"paths": paths, "components": {"schemas": {}}})
    assert [bytes(service.answer(name).body) for name in media] == [b'"first"\n', b'"only"\n']


async def test_is_served_to_who_is_signed_in(client: AsyncClient, owner: Caller) -> None:
    """Answer with a success unless asked for another status; 404 for what is not documented, 422 for no status."""
    answer = await owner.call("GET", "/core/mock/role_create")
    assert (answer.status_code, answer.json()["name"]) == (201, "Name")
    for status in (401, 403, 409):
        refused = await owner.call("GET", "/core/mock/role_create", params={"status": status})
        assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
        assert refused.json()["status"] == status
    for path, code in (("nobody", "mock_operation_not_found"), ("live?status=201", "mock_status_not_found")):
        missing = await owner.call("GET", f"/core/mock/{path}")
        assert (missing.status_code, missing.json()["code"]) == (404, code)
    assert (await owner.call("GET", "/core/mock/live?status=1")).status_code == 422
    assert (await client.get("/core/mock/role_create")).status_code == 401


async def test_answers_over_http_with_whatever_an_operation_may(application: FastAPI, owner: Caller) -> None:
    """Its own route declares every status of every operation, as the validating mode asks; each kind is sent once."""
    kinds = {
        (code, next(iter(answer.get("content", {})), "")): name
        for name, operation in MockService(document(application)).operations.items()
        for code, answer in operation["responses"].items()
        if code != "default"
    }
    for (code, media_type), name in kinds.items():
        answer = await owner.call("GET", f"/core/mock/{name}", params={"status": code})
        assert answer.status_code == int(code), (name, code, answer.text)
        assert answer.headers.get("Content-Type", "").startswith(media_type)


def test_is_not_there_in_production() -> None:
    """Leave the route out, and its line in the document."""
    for env, there in (("production", False), ("development", True)):
        app = FastAPI(docs_url=None, redoc_url=None)
        include(app, settings.model_copy(update={"env": env}), ROUTERS)
        assert ("/api/v1/core/mock/{operation_id}" in document(app)["paths"]) is there
