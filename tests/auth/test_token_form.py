"""Signing in with a form, as OAuth 2's password grant does."""

from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from tests.support import PASSWORD, Caller

FORM = "application/x-www-form-urlencoded"


async def ask(client: AsyncClient, **fields: Any) -> Response:
    """Send a form."""
    return await client.post("/auth/token", data=fields)


async def test_the_form_answers_like_a_sign_in(client: AsyncClient, owner: Caller) -> None:
    """The tokens work; what the documentation's page sends along is ignored, as RFC 6749 asks."""
    fields = {"grant_type": "password", "username": owner.email.upper(), "password": PASSWORD}
    basic = {"Authorization": "Basic Og==", "User-Agent": "a page"}
    answer = await client.post("/auth/token", data={**fields, "scope": "", "client_id": "x"}, headers=basic)
    assert answer.status_code == 200
    assert answer.json().keys() == {"access_token", "refresh_token", "token_type", "expires_in"}
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get("/users/me", headers=bearer)).json()["id"] == str(owner.user_id)
    assert (await client.get("/auth/sessions", headers=bearer)).json()["items"][0]["user_agent"] == "a page"


async def test_a_refusal_is_a_problem(client: AsyncClient, owner: Caller) -> None:
    """A wrong password is the same 401 as in the other way to sign in."""
    answer = await ask(client, grant_type="password", username=owner.email, password="not the password")
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"grant_type": "client_credentials"}, "grant_type"),
        ({"grant_type": None}, "grant_type"),
        ({"username": "nobody"}, "username"),
        ({"username": "a@example.com\r\nBcc: b@example.com"}, "username"),
        ({"username": "a" * 321}, "username"),
        ({"username": None}, "username"),
        ({"password": None}, "password"),
        ({"password": "a secret 7" * 26}, "password"),
        ({"username": ["a@example.com", "nobody"]}, "username"),
    ],
)
async def test_a_wrong_field_is_named(client: AsyncClient, changed: dict[str, Any], field: str) -> None:
    """It is 422 and says which; nothing of what was sent comes back."""
    fields = {"grant_type": "password", "username": "a@example.com", "password": "a secret 7"} | changed
    answer = await ask(client, **{name: value for name, value in fields.items() if value is not None})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert {fault["loc"][1] for fault in answer.json()["errors"]} == {field}
    assert "a secret 7" not in answer.text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", FORM),
        (b"%%%&==&&", FORM),
        (b"\xff\xfe\x00", FORM),
        (b"grant_type=password&username=%ED%A0%80&password=%ED%A0%80", FORM),
        (b'{"grant_type": "password", "username": "a@example.com", "password": "x"}', "application/json"),
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"a=b", "multipart/form-data"),
        (b"&".join(b"a=b" for _ in range(5000)), FORM),
    ],
)
async def test_what_is_no_such_form_is_refused(client: AsyncClient, content: bytes, kind: str) -> None:
    """Whatever it is, it is the client's mistake."""
    answer = await client.post("/auth/token", content=content, headers={"Content-Type": kind})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


async def test_a_file_is_no_password(client: AsyncClient) -> None:
    """A part with a file's name is refused."""
    fields = {"grant_type": "password", "username": "a@example.com"}
    answer = await client.post("/auth/token", data=fields, files={"password": ("x.txt", b"a secret 7")})
    assert (answer.status_code, answer.json()["errors"][0]["loc"]) == (422, ["body", "password"])
    assert "a secret 7" not in answer.text
