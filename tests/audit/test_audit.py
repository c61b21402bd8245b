"""The audit: who did what, written with the change or not at all."""

import json
import uuid
from collections.abc import Sequence
from typing import Any

import jwt
import pytest
from httpx2 import AsyncClient
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool
from sqlalchemy.sql import text

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.support import PASSWORD, Cluster, Team, sign_in


async def entries(cluster: Cluster, database: str, **wanted: Any) -> Sequence[Any]:
    """Return the rows whose columns have these values, oldest first."""
    where = " and ".join(f"{name} = :{name}" for name in wanted)
    query = f"select * from audit_entries where {where} order by created_at, id"
    return await cluster.rows(database, query, **wanted)


def named() -> tuple[str, dict[str, str]]:
    """Return a request id of the client's own, and the header that says it."""
    request_id = uuid.uuid4().hex
    return request_id, {"X-Request-ID": request_id}


async def test_every_change_of_a_project_has_its_row(team: Team, cluster: Cluster, database: str) -> None:
    """Create, change, delete and restore leave one row each, with actor, tenant, request and what changed."""
    ids, headers = zip(*(named() for _ in range(4)), strict=True)
    made = await team.member.call("POST", "/projects", json={"name": "one", "description": "d"}, headers=headers[0])
    project_id = made.json()["id"]
    path = f"/projects/{project_id}"
    await team.owner.call("PATCH", path, json={"name": "two", "status": "archived"}, headers=headers[1])
    await team.admin.call("DELETE", path, headers=headers[2])
    await team.member.call("POST", f"{path}/restore", headers=headers[3])
    rows = await entries(cluster, database, object_id=uuid.UUID(project_id))
    actions = [f"project.{name}" for name in ("created", "updated", "deleted", "restored")]
    assert [row.action for row in rows] == actions
    assert [row.request_id for row in rows] == list(ids)
    actors = [team.member.user_id, team.owner.user_id, team.admin.user_id, team.member.user_id]
    assert [row.actor_id for row in rows] == actors
    assert {row.tenant_id for row in rows} == {team.owner.tenant_id}
    assert {(row.object_type, row.outcome, row.on_behalf_of) for row in rows} == {("project", "success", None)}
    created, updated, deleted, restored = rows
    assert not created.before
    assert created.after == {"name": "one", "description": "d", "created_by": str(team.member.user_id)}
    assert updated.before == {"name": "one", "status": "active"}
    assert updated.after == {"name": "two", "status": "archived"}
    assert deleted.before == {"deleted_at": None} == restored.after
    assert deleted.after == restored.before
    assert deleted.after["deleted_at"].startswith("20")


async def test_what_was_refused_or_changed_nothing_is_no_change(team: Team, cluster: Cluster, database: str) -> None:
    """Reading, a change to the same value, a stale one and a forbidden one: the last alone is told, as an attempt."""
    made = await team.owner.create_project()
    path = f"/projects/{made['id']}"
    assert (await team.viewer.call("GET", path)).status_code == 200
    assert (await team.owner.call("PATCH", path, json={"name": made["name"]})).status_code == 200
    assert (await team.owner.call("PATCH", path, json={})).status_code == 200
    assert (await team.owner.call("POST", f"{path}/restore")).status_code == 200
    stale = await team.owner.call("PATCH", path, json={"name": "x"}, headers={"If-Match": '"9"'})
    assert stale.status_code == 412
    assert (await team.viewer.call("DELETE", path)).status_code == 403
    assert (await team.member.call("DELETE", path)).status_code == 403
    rows = await entries(cluster, database, object_id=uuid.UUID(made["id"]))
    done = [row for row in rows if row.outcome == "success"]
    assert [row.action for row in done] == ["project.created"]
    assert [row.action for row in rows if row not in done] == ["access.denied"] * 2


async def test_a_row_goes_with_the_change_that_fails(team: Team, cluster: Cluster, database: str) -> None:
    """A project that meets a taken name leaves nothing in the audit."""
    made = await team.owner.create_project()
    request_id, header = named()
    refused = await team.owner.call("POST", "/projects", json={"name": made["name"]}, headers=header)
    assert refused.status_code == 409
    assert await entries(cluster, database, request_id=request_id) == []


async def test_founding_is_audited_in_the_new_tenant(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """Registration leaves the tenant's first rows in the tenant itself, with the new person as their actor."""
    body = {"email": f"{uuid.uuid4().hex}@example.com", "password": PASSWORD, "full_name": "A", "tenant_name": "T"}
    request_id, header = named()
    made = (await client.post("/auth/register", json=body, headers=header)).json()
    rows = await entries(cluster, database, request_id=request_id, tenant_id=uuid.UUID(made["tenant"]["id"]))
    row, person = sorted(rows, key=lambda entry: entry.action)
    assert (person.action, str(person.object_id)) == ("user.registered", made["user"]["id"])
    assert (row.action, row.object_type, row.outcome) == ("tenant.created", "tenant", "success")
    assert str(row.tenant_id) == str(row.object_id) == made["tenant"]["id"]
    assert str(row.actor_id) == made["user"]["id"]
    assert row.after == {"name": "T", "owner_id": made["user"]["id"]}


async def test_sign_in_and_sign_out_are_audited_in_the_system_tenant(
    client: AsyncClient, team: Team, cluster: Cluster, database: str
) -> None:
    """The session that starts and ends is the object, the person the actor."""
    started, header = named()
    body = {"email": team.owner.email, "password": PASSWORD}
    token = (await client.post("/auth/login", json=body, headers=header)).json()["access_token"]
    session = jwt.decode(token, options={"verify_signature": False})["sid"]
    ended, header = named()
    await client.post("/auth/logout", headers={**header, "Authorization": f"Bearer {token}"})
    rows = await entries(cluster, database, object_id=uuid.UUID(session))
    assert [(row.action, row.request_id) for row in rows] == [("session.started", started), ("session.ended", ended)]
    for row in rows:
        assert (row.tenant_id, row.actor_id) == (SYSTEM_TENANT_ID, team.owner.user_id)
        assert (row.object_type, row.outcome) == ("session", "success")


@pytest.mark.parametrize("case", ["wrong password", "unknown address", "disabled account"])
async def test_a_sign_in_that_fails_is_audited_though_it_is_refused(
    client: AsyncClient, team: Team, cluster: Cluster, database: str, case: str
) -> None:
    """The row stands in the system tenant: whose account it was where there is one, no actor, and a failure."""
    body = {"email": team.viewer.email, "password": PASSWORD}
    if case == "wrong password":
        body["password"] = "not the password"
    elif case == "unknown address":
        body["email"] = f"{uuid.uuid4().hex}@example.com"
    else:
        query = "update users set disabled_at = now() where id = :id returning 1"
        await cluster.rows(database, query, id=team.viewer.user_id)
    request_id, header = named()
    assert (await client.post("/auth/login", json=body, headers=header)).status_code == 401
    (row,) = await entries(cluster, database, request_id=request_id)
    assert (row.tenant_id, row.action, row.outcome) == (SYSTEM_TENANT_ID, "session.refused", "failure")
    assert row.object_id == (None if case == "unknown address" else team.viewer.user_id)
    assert row.actor_id is None


async def test_no_row_holds_a_secret(client: AsyncClient, team: Team, cluster: Cluster, database: str) -> None:
    """Whatever happens at the door, neither a password nor a token nor a hash comes into the audit."""
    secrets = [PASSWORD, "a wrong password", team.owner.token]
    for password in (PASSWORD, "a wrong password"):
        await client.post("/auth/login", json={"email": team.owner.email, "password": password})
    token = first = (await sign_in(client, team.owner.email))["refresh_token"]
    for _ in range(3):
        tokens = (await client.post("/auth/refresh", json={"refresh_token": token})).json()
        secrets += [token, tokens["refresh_token"], tokens["access_token"]]
        token = tokens["refresh_token"]
    assert (await client.post("/auth/refresh", json={"refresh_token": first})).status_code == 401
    await client.post("/auth/refresh", json={"refresh_token": "gpr_unknown"})
    found = [row[0] for row in await cluster.rows(database, "select to_jsonb(a) from audit_entries a")]
    assert {"session.started", "session.refused", "session.revoked", "tenant.created"} <= {
        row["action"] for row in found
    }
    everything = json.dumps(found, ensure_ascii=False)
    assert team.owner.email not in everything
    assert "argon2" not in everything
    assert [secret for secret in secrets if secret in everything] == []


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_entries set outcome = 'success'",
        "delete from audit_entries",
        "truncate audit_entries",
        "insert into audit_entries (tenant_id, id, action, object_type, outcome, request_id)"
        " values ('{other}', gen_random_uuid(), 'a.b', 'a', 'success', '')",
    ],
)
async def test_the_application_cannot_rewrite_it(team: Team, cluster: Cluster, database: str, statement: str) -> None:
    """The application's role, inside the tenant, can add rows of that tenant and do nothing else."""
    engine = create_async_engine(cluster.url("app_rw", database), poolclass=NullPool)  # keeps nothing to dispose of
    async with engine.connect() as connection:
        enter = text("select set_config('app.tenant_id', :tenant, true)")
        await connection.execute(enter, {"tenant": str(team.owner.tenant_id)})
        assert await connection.scalar(text("select count(*) from audit_entries")) == 2
        with pytest.raises(DBAPIError, match=r"permission denied|row-level security"):
            await connection.execute(text(statement.format(other=team.stranger.tenant_id)))
