"""Making superusers."""

import asyncio
import uuid

import pytest
from httpx2 import AsyncClient

from app.audit.utils import entry_digest
from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.commands.support import Outcome, call, run
from tests.support import PASSWORD, Caller, Cluster, sign_in


async def create(url: str, *arguments: str, password: str = PASSWORD) -> Outcome:
    """Run the command as the role of an address, the password on its standard input."""
    return await asyncio.to_thread(
        run, "create-superuser", *arguments, "--password-stdin", stdin=f"{password}\n", APP_DATABASE__MIGRATE_URL=url
    )


async def audited(cluster: Cluster, database: str, user_id: str) -> list[str]:
    """Return what the audit says of somebody who became a superuser: one row each time, sealed, in nobody's name."""
    query = "select * from audit_entries where object_id = :id and action = 'user.promoted'"
    rows = await cluster.rows(database, query, id=uuid.UUID(user_id))
    assert {(row.tenant_id, row.actor_id, row.outcome) for row in rows} == {(SYSTEM_TENANT_ID, None, "success")}
    assert [row.digest for row in rows] == [entry_digest(row._mapping) for row in rows]
    return [row.after["account"] for row in rows]


async def test_a_new_person_is_made(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """An unknown address makes a person without a tenant who signs in with the password, and is a superuser."""
    email = f"{uuid.uuid4().hex}@example.com"
    url = cluster.url("app_migrator", database)
    outcome = await create(url, f"{email.upper()}", "--full-name", " Ada ")
    assert (outcome.code, outcome.out, outcome.err) == (0, f"{email} is a new superuser.\n", "")
    token = (await sign_in(client, email))["access_token"]
    me = (await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})).json()
    assert (me["email"], me["full_name"], me["is_superuser"]) == (email, "Ada", True)
    assert me["memberships"] == []
    assert await audited(cluster, database, me["id"]) == ["made"]


async def test_a_known_person_keeps_password_and_name(
    client: AsyncClient, owner: Caller, cluster: Cluster, database: str
) -> None:
    """A verified address becomes a superuser's; no password is read, and the present one stays."""
    proven = "update users set email_verified_at = now() where id = :user returning 1"
    assert await cluster.rows(database, proven, user=owner.user_id)
    outcome = await create(cluster.url("app_migrator", database), owner.email, password="short")
    assert (outcome.code, outcome.out) == (0, f"{owner.email} is now a superuser.\n")
    me = (await owner.call("GET", "/users/me")).json()
    assert (me["is_superuser"], me["full_name"]) == (True, "Some Body")
    await sign_in(client, owner.email)
    await create(cluster.url("app_migrator", database), owner.email, password="short")
    assert await audited(cluster, database, str(owner.user_id)) == ["known"]
    other = await client.post("/auth/login", json={"email": owner.email, "password": "short"})
    assert other.status_code == 401


async def test_the_application_cannot_make_one(owner: Caller, cluster: Cluster, database: str) -> None:
    """With the application's own role the database refuses, in one line without the password; nothing is changed."""
    url = cluster.url("app_rw", database).replace("app_rw@", "app_rw:hunter2@")
    outcome = await create(url, owner.email)
    assert outcome.code == 1
    assert 'refuses: permission denied to set role "app_owner"' in outcome.complaint
    assert "hunter2" not in outcome.err
    assert (await owner.call("GET", "/users/me")).json()["is_superuser"] is False


async def test_the_application_cannot_write_the_flag(owner: Caller, cluster: Cluster, database: str) -> None:
    """Nor does its role hold the right to the column."""
    query = "select has_column_privilege(:role, 'users', 'is_superuser', :verb)"
    for role in ("app_rw", "app_worker", "app_relay", "app_admin"):
        for verb in ("INSERT", "UPDATE"):
            assert await cluster.rows(database, query, role=role, verb=verb) == [(False,)]


async def test_who_registered_first_is_shut_out(
    client: AsyncClient, owner: Caller, cluster: Cluster, database: str
) -> None:
    """An account that never proved its address gets the operator's password and name; sessions and keys are over."""
    key = {"name": "k", "permissions": ["projects.read"]}
    secret = (await owner.call("POST", "/tenants/current/api-keys", json=key)).json()["key"]
    outcome = await create(cluster.url("app_migrator", database), owner.email, password="the word of an operator")
    assert (outcome.code, outcome.err) == (0, "")
    assert (await owner.call("GET", "/users/me")).status_code == 401
    assert (await client.get("/projects", headers={"Authorization": f"Bearer {secret}"})).status_code == 401
    old = await client.post("/auth/login", json={"email": owner.email, "password": PASSWORD})
    assert old.status_code == 401
    token = (await sign_in(client, owner.email, "the word of an operator"))["access_token"]
    me = (await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})).json()
    assert (me["is_superuser"], me["full_name"], me["email_verified"]) == (True, "Superuser", True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ada",), "'ada' is not a valid e-mail address"),
        (("ada@example.com\n",), "is not a valid e-mail address"),
        (("ada@example.com", "--full-name", " "), "a name has 1 to 200 characters"),
        (("ada@example.com", "--full-name", "x" * 201), "a name has 1 to 200 characters"),
        ((), "Missing argument"),
    ],
)
def test_a_wrong_argument_is_explained(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    """It exits with 2 before it asks for a password or a database."""
    assert call("create-superuser", *arguments) == 2
    out, err = capsys.readouterr()
    assert said in " ".join(err.replace("│", " ").split())
    assert out == ""


@pytest.mark.parametrize(
    "password", ["only 14 letter", "x" * 257, "passwordpassword", " ".join([settings.project_name] * 4), ""]
)
async def test_a_password_is_asked_for_what_everybodys_is(cluster: Cluster, database: str, password: str) -> None:
    """One that is too short, too long or easy to guess makes nobody; the command says why, and does not show it."""
    email = f"{uuid.uuid4().hex}@example.com"
    outcome = await create(cluster.url("app_migrator", database), email, password=password)
    assert outcome.code == 2
    said = "15 to 256 characters" if len(password) in {0, 14, 257} else "easy to guess"
    assert said in " ".join(outcome.err.replace("│", " ").split())
    assert not password or password not in outcome.err
    assert await cluster.rows(database, "select id from users where email = :email", email=email) == []
