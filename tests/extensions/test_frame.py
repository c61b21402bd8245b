"""What browsers are told: headers of every answer, who may call from where, the page of the documentation."""

from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI, Response
from httpx2 import ASGITransport, AsyncClient

from app.config import Settings, settings
from app.core.openapi import document
from app.extensions.docs import FILES, PAGE, START
from app.extensions.frame import HEADERS
from app.main import create_app
from tests.extensions.support import call, check_problem, client, make_app
from tests.support import Caller, serve

URL = "postgresql+asyncpg://app_rw@/app?host=/nowhere"
ORIGIN = "https://app.example.com"


def changed(**server: object) -> Settings:
    """Return the settings with others for the server."""
    return settings.model_copy(update={"server": settings.server.model_copy(update=server)})


def application(**limits: object) -> FastAPI:
    """Return an application that answers, fails, and sets a header itself."""
    app = make_app(**limits)  # type: ignore[arg-type]

    @app.get("/good")
    async def good() -> str:
        return "good"

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("broke")

    @app.get("/kept")
    async def kept() -> Response:
        return Response("x", headers={"Cache-Control": "max-age=60"})

    return app


@pytest.mark.parametrize(("path", "status"), [("/good", 200), ("/bug", 500), ("/nothing", 404)])
async def test_headers_of_every_answer(path: str, status: int) -> None:
    """Good or bad, each answer has all of them once; without the setting no word of https."""
    reply = await call(application(), path, then="end")
    assert reply.status == status
    names = [name for name, _ in reply.headers]
    assert all(names.count(name) == 1 and dict(reply.headers)[name] == value for name, value in HEADERS)
    assert b"strict-transport-security" not in names


async def test_headers_of_the_served_application(client: AsyncClient, owner: Caller) -> None:
    """The application as it is shipped has them too, for a sign-in, a list and a refusal."""
    for answer in (await owner.call("GET", "/projects"), await client.get("/projects"), await client.post("/none")):
        assert {name.decode(): value.decode() for name, value in HEADERS}.items() <= dict(answer.headers).items()


async def test_no_answer_can_be_a_page() -> None:
    """Whatever is answered, a browser that shows it runs, embeds, sends and frames nothing, and guesses at no type."""
    reply = await call(application(), "/good", then="end")
    headers = dict(reply.headers)
    policy = headers[b"content-security-policy"].decode().split("; ")
    refused = ("default-src", "object-src", "base-uri", "form-action", "frame-ancestors")
    assert policy == [f"{directive} 'none'" for directive in refused]
    assert headers[b"x-content-type-options"] == b"nosniff"


async def test_no_request_is_sent_back(client: AsyncClient) -> None:
    """TRACE, which shows a caller what a proxy added, is a method like any that there is not."""
    answer = await client.request("TRACE", "/users/me", headers={"X-Added": "by a proxy"})
    check_problem(answer.content, 405, "method_not_allowed")
    assert "by a proxy" not in answer.text


async def test_an_operation_keeps_its_own() -> None:
    """What an operation says of its answer stands, alone."""
    reply = await call(application(hsts_seconds=60), "/kept", then="end")
    assert [value for name, value in reply.headers if name == b"cache-control"] == [b"max-age=60"]
    assert dict(reply.headers)[b"strict-transport-security"] == b"max-age=60; includeSubDomains"


@pytest.mark.parametrize("path", ["/good", "/bug", "/nothing"])
async def test_a_page_of_a_named_origin_may_read(path: str) -> None:
    """Answers and errors alike name it, and what its script may see of the headers; others are not named."""
    async with client(application(cors_origins=(ORIGIN,))) as http:
        answer = await http.get(path, headers={"Origin": ORIGIN})
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert {"X-Request-ID", "ETag", "Retry-After"} <= set(
            answer.headers["Access-Control-Expose-Headers"].split(", ")
        )
        for other in ("https://app.example.com.evil.test", "http://app.example.com", "null"):
            foreign = await http.get(path, headers={"Origin": other})
            assert "Access-Control-Allow-Origin" not in foreign.headers
            assert "Origin" in foreign.headers["Vary"]
        assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_a_browser_asks_first() -> None:
    """It may send the API's headers and methods from there, no others, and nothing from elsewhere."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PATCH"}
    wanted = "authorization, content-type, idempotency-key, if-match, x-request-id, x-tenant-id"
    async with client(application(cors_origins=(ORIGIN,))) as http:
        answer = await http.options("/good", headers=asked | {"Access-Control-Request-Headers": wanted})
        assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (200, ORIGIN)
        assert answer.headers["X-Request-ID"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        for worse in (
            {"Access-Control-Request-Headers": "cookie"},
            {"Access-Control-Request-Method": "TRACE"},
            {"Origin": "https://x"},
        ):
            assert (await http.options("/good", headers=asked | worse)).status_code == 400


async def test_without_origins_nobody_is_named() -> None:
    """No setting, no permission: a browser lets no other page read anything."""
    async with client(application()) as http:
        answer = await http.get("/good", headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("hosts", "served"),
    [
        (["api.example.com"], True),
        (["API.example.com:8443"], True),
        (["example.com"], False),
        (["api.example.com.evil.test"], False),
        (["api.example.com:evil"], False),
        (["evil.test", "api.example.com"], False),
        ([], False),
    ],
)
async def test_hosts(hosts: list[str], served: bool) -> None:
    """Only the named host is served, on any port; two hosts or none are no host."""
    app = application(allowed_hosts=("api.example.com",))
    headers = [(b"host", host.encode()) for host in hosts]
    reply = await call(app, "/good", headers=headers, then="end")
    if served:
        assert reply.status == 200
    else:
        reply.problem("bad_request")


@pytest.fixture
async def pages() -> AsyncIterator[AsyncClient]:
    """Yield a client of an application that shows its documentation."""
    async with serve(create_app(changed(docs=True), url=URL)) as found:
        found.base_url = "http://test"
        yield found


async def test_the_page_loads_nothing_from_elsewhere(pages: AsyncClient) -> None:
    """All that it names is served here, under a policy that lets nothing else in."""
    page = await pages.get(PAGE)
    assert page.status_code == 200
    assert "//" not in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "object-src 'none'; base-uri 'none';" in policy
    assert "frame-ancestors 'none'" in policy
    for path in (START, *FILES):
        assert f'"{path.removeprefix("/")}"' in page.text
        answer = await pages.get(path)
        assert (answer.status_code, answer.headers["X-Content-Type-Options"]) == (200, "nosniff")
        assert answer.headers["Content-Type"].startswith("text/css" if path.endswith("css") else "text/javascript")
    assert "SwaggerUIBundle" in (await pages.get(f"{PAGE}/swagger-ui-bundle.js")).text
    assert (await pages.get("/openapi.json")).json()["openapi"].startswith("3.1")


async def test_without_the_setting_there_is_no_page() -> None:
    """The page, its files and the document are as unknown as any other path; the document can still be made."""
    app = create_app(changed(docs=False), url=URL)
    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as http:
        for path in (PAGE, START, *FILES, "/openapi.json", "/redoc", "/docs/oauth2-redirect"):
            answer = await http.get(path)
            check_problem(answer.content, 404, "not_found")
    assert document(app)["paths"]


async def test_a_slash_too_many_is_another_path(client: AsyncClient) -> None:
    """It is unknown, and not sent to wherever the request's Host says."""
    answer = await client.get("/core/health/live/", headers={"Host": "evil.test"})
    check_problem(answer.content, 404, "not_found")
    assert "location" not in answer.headers
