"""Registering: a person and their first tenant, all or nothing."""

import asyncio
import uuid
from typing import Any

import pytest
from httpx2 import AsyncClient

from app.main import create_app
from tests.support import PASSWORD, Cluster, limited, serve, sign_in, visitor


def request_body(**fields: Any) -> dict[str, Any]:
    """Return what registers somebody whom nobody knows, with a tenant of a name of its own."""
    name = uuid.uuid4().hex
    body = {"email": f"{name}@example.com", "password": PASSWORD, "full_name": "Ada Lovelace", "tenant_name": name}
    return body | fields


async def count_tenants(cluster: Cluster, database: str, name: str) -> int:
    """Return how many tenants have that name."""
    rows = await cluster.rows(database, "select count(*) from tenants where name = :name", name=name)
    found: int = rows[0][0]
    return found


async def test_registering_makes_a_person_who_owns_a_tenant(client: AsyncClient) -> None:
    """The answer shows both; the person can sign in, and owns the tenant."""
    body = request_body(full_name="  Ada Lovelace ", tenant_name=" Acme\t")
    answer = await client.post("/auth/register", json=body)
    assert answer.status_code == 201
    made = answer.json()
    assert made.keys() == {"user", "tenant"}
    assert made["user"] == {"id": made["user"]["id"], "email": body["email"], "full_name": "Ada Lovelace"}
    assert (made["tenant"]["name"], made["tenant"]["status"]) == (made["tenant"]["name"], "active")
    assert made["tenant"]["name"] == "Acme"
    assert made["tenant"]["created_at"].endswith("Z")
    token = (await sign_in(client, body["email"]))["access_token"]
    me = (await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})).json()
    assert me == {
        **made["user"],
        "email_verified": False,
        "is_superuser": False,
        "memberships": [{"tenant_id": made["tenant"]["id"], "tenant_name": "Acme", "role": "owner"}],
    }


@pytest.mark.parametrize(
    ("given", "stored", "same"),
    [
        ("{}@EXAMPLE.com", "{}@example.com", "{}@example.COM"),
        ("Ada.{}@example.com", "ada.{}@example.com", "ADA.{}@example.com"),
        ("ada+tag.{}@example.com", "ada+tag.{}@example.com", "Ada+TAG.{}@example.com"),
        ("{}@BÜCHER.example", "{}@bücher.example", "{}@xn--bcher-kva.example"),
        ("{}.re\u0301my@example.com", "{}.r\u00e9my@example.com", "{}.R\u00c9MY@example.com"),
        ("{}@例え.テスト", "{}@例え.テスト", "{}@xn--r8jz45g.xn--zckzah"),
    ],
    ids=["domain", "name", "plus", "international-domain", "accent", "script"],
)
async def test_an_address_has_one_form(client: AsyncClient, given: str, stored: str, same: str) -> None:
    """An address is stored and shown in its normal form; each way to write it signs in, and none is free any more."""
    mark = uuid.uuid4().hex
    given, stored, same = given.format(mark), stored.format(mark), same.format(mark)
    made = await client.post("/auth/register", json=request_body(email=given))
    assert made.status_code == 201, made.text
    assert made.json()["user"]["email"] == stored
    for spelling in (given, stored, same):
        await sign_in(client, spelling)
        again = await client.post("/auth/register", json=request_body(email=spelling))
        assert (again.status_code, again.json()["code"]) == (409, "email_taken")


async def test_a_tag_makes_another_address(client: AsyncClient) -> None:
    """`ada+tag@` is not `ada@`: what stands behind the plus is for the mail server to understand."""
    mark = uuid.uuid4().hex
    for email in (f"{mark}@example.com", f"{mark}+tag@example.com"):
        assert (await client.post("/auth/register", json=request_body(email=email))).status_code == 201


async def test_a_taken_address_leaves_nothing_behind(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """The second one gets 409 and no tenant; the first one's password and name stay."""
    first = request_body()
    assert (await client.post("/auth/register", json=first)).status_code == 201
    second = request_body(email=first["email"].upper(), password="the second password", full_name="Somebody Else")
    refused = await client.post("/auth/register", json=second)
    assert (refused.status_code, refused.json()["code"]) == (409, "email_taken")
    assert await count_tenants(cluster, database, second["tenant_name"]) == 0
    assert await count_tenants(cluster, database, first["tenant_name"]) == 1
    await sign_in(client, first["email"])
    other = {"email": first["email"], "password": "the second password"}
    assert (await client.post("/auth/login", json=other)).status_code == 401


async def test_of_many_at_once_one_gets_the_address(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """Of ten who register one address at the same moment one succeeds, and one tenant is there."""
    body = request_body()
    answers = await asyncio.gather(*(client.post("/auth/register", json=body) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert {answer.json().get("code") for answer in answers} == {None, "email_taken"}
    assert await count_tenants(cluster, database, body["tenant_name"]) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "a@example.com\r\n"),
        ("email", "a@example.com\r\nBcc: b@example.com"),
        ("email", "a\r\nb@example.com"),
        ("email", " a@example.com"),
        ("email", "a" * 64 + "@" + ("b" * 63 + ".") * 4 + "example"),
        ("email", "a" * (321 - len("@example.com")) + "@example.com"),
        ("email", "a@example.com\0"),
        ("email", "Ada <a@example.com>"),
        ("email", "a@b@example.com"),
        ("email", "example.com"),
        ("email", ""),
        ("email", ["a@example.com"]),
        ("password", "14 characters!"),
        ("password", "x" * 257),
        ("password", None),
        ("password", 1234567890),
        ("password", {"secret": PASSWORD}),
        ("full_name", " \t\n "),
        ("full_name", "x" * 201),
        ("full_name", "a\0b"),
        ("tenant_name", ""),
        ("tenant_name", "x" * 201),
        ("is_superuser", True),
        ("id", str(uuid.UUID(int=7))),
    ],
)
async def test_bad_input_is_refused(
    client: AsyncClient, cluster: Cluster, database: str, field: str, value: object
) -> None:
    """A field that is wrong is 422 and named; nothing of what was sent comes back, nothing is written."""
    body = request_body(**{field: value})
    answer = await client.post("/auth/register", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert {fault["loc"][1] for fault in answer.json()["errors"]} == {field}
    assert answer.json()["errors"][0].keys() == {"loc", "msg", "type"}
    assert PASSWORD not in answer.text
    assert not isinstance(value, str) or len(value) < 7 or value not in answer.text
    assert await count_tenants(cluster, database, body["tenant_name"]) == 0


async def test_registrations_from_one_address_end(cluster: Cluster, database: str) -> None:
    """Each makes a tenant and sends a mail to whoever is named; at another address people still register."""
    app = create_app(limited(mail_address="2/hour"), url=cluster.url("app_rw", database))
    async with serve(app), visitor(app, "203.0.113.1") as client, visitor(app, "198.51.100.1") as other:
        codes = [(await client.post("/auth/register", json=request_body())).status_code for _ in range(3)]
        assert codes == [201, 201, 429]
        assert (await other.post("/auth/register", json=request_body())).status_code == 201


@pytest.mark.parametrize("field", ["email", "password", "full_name", "tenant_name"])
async def test_every_field_is_needed(client: AsyncClient, field: str) -> None:
    """A body without one of the fields is 422."""
    body = request_body()
    del body[field]
    answer = await client.post("/auth/register", json=body)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["body", field]
    assert PASSWORD not in answer.text


LONG = ("a cold lake, two olive trees and one blue door; " * 6)[:256]


@pytest.mark.parametrize(
    "password", ["otters at dawn!", LONG, "пароль🔑 密码 и ключ", "  spaces stay  ", "with\0nul inside"]
)
async def test_a_password_is_taken_as_it_is(
    client: AsyncClient, cluster: Cluster, database: str, password: str
) -> None:
    """Any 15 to 256 characters are a password, none is cut off, and only an argon2id hash of it is kept."""
    body = request_body(password=password)
    assert (await client.post("/auth/register", json=body)).status_code == 201
    await sign_in(client, body["email"], password)
    for wrong in (password[:-1], password[1:]):
        refused = await client.post("/auth/login", json={"email": body["email"], "password": wrong})
        assert refused.status_code == 401
    query = "select c.* from credentials c join users u on u.id = c.user_id where u.email = :email"
    (row,) = await cluster.rows(database, query, email=body["email"])
    assert row.password_hash.startswith("$argon2id$v=19$")
    assert password not in str(row)
