"""The validating mode, and answers whose status is decided at run time."""

from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncClient

from app.config import settings
from app.main import create_app
from app.routes import ROUTERS
from tests.core.trial import answers
from tests.support import Cluster, serve

GOOD = '{"status": true, "msg": "fine", "details": {}}'


@pytest.fixture(scope="session")
async def strict(cluster: Cluster, database: str) -> AsyncIterator[AsyncClient]:
    """Serve the answers in the validating mode, as tests and development do."""
    assert settings.validate_responses
    async with serve(create_app(url=cluster.url("app_rw", database), routers=[*ROUTERS, answers])) as client:
        yield client


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"status": true, "details": {}}', 200),
        ('{"status": true, "msg": "fine"}', 200),
        ('{"status": true, "msg": "fine", "details": {}, "secret": 1}', 200),
        ('{"status": "true", "msg": "fine", "details": {}}', 200),
        ('{"status": true, "msg": 7, "details": {}}', 200),
        ("[]", 200),
        ("null", 200),
        (GOOD, 201),
        (GOOD, 202),
    ],
    ids=["missing", "defaulted", "extra", "spelled", "mistyped", "list", "null", "undeclared", "other schema"],
)
async def test_an_answer_that_was_not_declared_fails_loudly(strict: AsyncClient, body: str, status: int) -> None:
    """The client gets a 500 and nothing of the body."""
    answer = await strict.get("/answers/raw", params={"body": body, "status": status})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text


@pytest.mark.parametrize(("body", "status"), [(GOOD, 200), ("[]", 202)])
async def test_a_declared_answer_passes_as_it_is(strict: AsyncClient, body: str, status: int) -> None:
    """What each declared status says is served unchanged."""
    answer = await strict.get("/answers/raw", params={"body": body, "status": status})
    assert (answer.status_code, answer.text) == (status, body)


async def test_production_does_not_look(cluster: Cluster, database: str) -> None:
    """With the mode off the body goes out as the view made it."""
    config = settings.model_copy(update={"validate_responses": False})
    app = create_app(config, url=cluster.url("app_rw", database), routers=[*ROUTERS, answers])
    async with serve(app) as client:
        assert (await client.get("/answers/raw", params={"body": "[1]"})).json() == [1]


@pytest.mark.parametrize("count", [0, 2])
async def test_lists_are_rendered_empty_ones_too(strict: AsyncClient, count: int) -> None:
    """`JSONResponse` renders a list of schemas of any length."""
    answer = await strict.get("/answers/lists", params={"count": count})
    assert answer.json() == [{"status": True, "msg": str(number), "details": {}} for number in range(count)]


async def test_the_type_documents_the_answer(strict: AsyncClient) -> None:
    """`JSONResponse[list[DefaultResponse]]` stands in the document as a list of that schema."""
    document = (await strict.get("http://test/openapi.json")).json()
    content = document["paths"]["/api/v1/answers/lists"]["get"]["responses"]["200"]["content"]
    assert content["application/json"]["schema"]["items"] == {"$ref": "#/components/schemas/DefaultResponse"}
