"""API keys and service accounts: what a key may do, and that it is refused at once when it must be."""

import asyncio
import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from app.core.unit_of_work import UnitOfWork
from app.tenants.utils import API_KEY_PREFIX, INVITATION_PREFIX, new_token
from tests.support import Caller, Cluster, Team, join, settled_of, sign_in

PATH = "/tenants/current/api-keys"
WRITE = ("projects.read", "projects.write")


async def make_key(caller: Caller, *permissions: str, **options: Any) -> dict[str, Any]:
    """Make a key and return it, with its secret."""
    answer = await caller.call("POST", PATH, json={"name": "a key", "permissions": permissions, **options})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def make_account(caller: Caller, name: str = "robot") -> str:
    """Make a service account, and return its id."""
    answer = await caller.call("POST", "/tenants/current/service-accounts", json={"name": name})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def use(client: AsyncClient, secret: str, method: str = "GET", path: str = "/projects", **rest: Any) -> Response:
    """Call by a key; the tenant need not be named."""
    return await client.request(method, path, headers={"Authorization": f"Bearer {secret}"}, **rest)


async def test_a_key_acts_as_who_made_it_within_its_scope(team: Team, client: AsyncClient) -> None:
    """It may what it lists and no more; what it makes is its maker's."""
    made = await make_key(team.admin, *WRITE)
    assert made["key"].startswith(API_KEY_PREFIX)
    created = await use(client, made["key"], "POST", json={"name": "by key"})
    assert created.status_code == 201
    path = f"/projects/{created.json()['id']}"
    assert (await team.admin.call("PATCH", path, json={"name": "mine"})).status_code == 200
    refused = await use(client, made["key"], path="/tenants/current/members")
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_a_key_follows_its_maker_down(team: Team, client: AsyncClient, cluster: Cluster, database: str) -> None:
    """Demoted, the maker's key may less; promoted again, as before; removed and put back, it stays dead."""
    secret = (await make_key(team.admin, *WRITE))["key"]
    body = {"name": "x"}
    await join(cluster, database, team.admin, team.owner.tenant_id, "viewer")
    assert (await use(client, secret, "POST", json=body)).status_code == 403
    assert (await use(client, secret)).status_code == 200
    await join(cluster, database, team.admin, team.owner.tenant_id, "admin")
    assert (await use(client, secret, "POST", json=body)).status_code == 201
    removed = await team.owner.call("DELETE", f"/tenants/current/members/{team.admin.user_id}")
    assert removed.status_code == 200
    assert (await use(client, secret)).status_code == 401
    await join(cluster, database, team.admin, team.owner.tenant_id, "admin")
    assert (await use(client, secret)).status_code == 401


async def test_a_service_account_outlives_who_made_it(
    team: Team, client: AsyncClient, cluster: Cluster, database: str
) -> None:
    """Its key goes on when its maker leaves; what it does is done by the account."""
    account = await make_account(team.admin)
    secret = (await make_key(team.admin, *WRITE, service_account_id=account))["key"]
    assert (await team.admin.call("POST", "/tenants/current/leave")).status_code == 200
    created = await use(client, secret, "POST", json={"name": "by the robot"})
    assert created.status_code == 201
    query = "select actor_id from audit_entries where object_id = cast(:id as uuid)"
    [row] = await cluster.rows(database, query, id=created.json()["id"])
    assert str(row.actor_id) == account
    assert (await use(client, secret, path="/notifications")).status_code == 403


async def test_with_an_account_its_keys_are_gone(team: Team, client: AsyncClient) -> None:
    """Deleting it refuses its keys from the next request on."""
    account = await make_account(team.owner)
    secret = (await make_key(team.owner, *WRITE, service_account_id=account))["key"]
    assert (await use(client, secret)).status_code == 200
    assert (await team.owner.call("DELETE", f"/tenants/current/service-accounts/{account}")).status_code == 200
    assert (await use(client, secret)).status_code == 401


async def test_nobody_puts_more_into_a_key_than_they_hold(team: Team, client: AsyncClient) -> None:
    """Neither an admin an owner's permission, nor a key more than its own scope, for itself or an account."""
    body = {"name": "k", "permissions": ["tenants.delete"]}
    answer = await team.admin.call("POST", PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (403, "grant_refused")
    secret = (await make_key(team.owner, "tenants.manage_keys"))["key"]
    more = await use(client, secret, "POST", PATH, json={"name": "k", "permissions": ["projects.read"]})
    assert (more.status_code, more.json()["code"]) == (403, "grant_refused")
    same = await use(client, secret, "POST", PATH, json={"name": "k", "permissions": ["tenants.manage_keys"]})
    assert same.status_code == 201


async def test_nobody_takes_a_stronger_key_over(team: Team) -> None:
    """Rotating shows a secret: who lacks one of the key's permissions may not, but may revoke it."""
    made = await make_key(team.owner, "tenants.delete")
    rotated = await team.admin.call("POST", f"{PATH}/{made['id']}/rotate", json={})
    assert (rotated.status_code, rotated.json()["code"]) == (403, "grant_refused")
    assert (await team.admin.call("DELETE", f"{PATH}/{made['id']}")).status_code == 200


async def test_nobody_becomes_another_by_rotating_their_key(team: Team, client: AsyncClient) -> None:
    """A personal key's secret goes to its person alone, however little it permits; a service account's to who may."""
    own = await make_key(team.owner, "projects.read")
    rotated = await team.admin.call("POST", f"{PATH}/{own['id']}/rotate", json={})
    assert (rotated.status_code, rotated.json()["code"]) == (403, "grant_refused")
    assert (await use(client, own["key"])).status_code == 200
    assert (await team.owner.call("POST", f"{PATH}/{own['id']}/rotate", json={})).status_code == 200
    account = await make_account(team.owner)
    robots = await make_key(team.owner, "projects.read", service_account_id=account)
    assert (await team.admin.call("POST", f"{PATH}/{robots['id']}/rotate", json={})).status_code == 200


async def test_a_reset_by_mail_ends_the_keys_of_the_account(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """Whoever had the account before made them; those that are made afterwards, and a service account's, count."""
    own = await make_key(team.owner, "projects.read")
    robots = await make_key(team.owner, "projects.read", service_account_id=await make_account(team.owner))
    await client.post("/auth/password/forgot", json={"email": team.owner.email})
    await settled_of(work)
    mail = work.services.mailer.to(team.owner.email)[-1]  # type: ignore[attr-defined]
    body = {"token": mail.text.partition("#token=")[2].split()[0], "new_password": "eleven green kettles"}
    assert (await client.post("/auth/password/reset", json=body)).status_code == 200
    assert [(await use(client, key["key"])).status_code for key in (own, robots)] == [401, 200]
    token = (await sign_in(client, team.owner.email, body["new_password"]))["access_token"]
    fresh = await make_key(replace(team.owner, token=token), "projects.read")
    assert (await use(client, fresh["key"])).status_code == 200


async def test_revoked_is_refused_at_once(team: Team, client: AsyncClient) -> None:
    """Of requests that begin after the answer none passes; a second time there is nothing to revoke."""
    made = await make_key(team.owner, *WRITE)
    before = [use(client, made["key"]) for _ in range(10)]
    revoked, *_ = await asyncio.gather(team.owner.call("DELETE", f"{PATH}/{made['id']}"), *before)
    assert revoked.status_code == 200
    after = await asyncio.gather(*(use(client, made["key"]) for _ in range(20)))
    assert {answer.status_code for answer in after} == {401}
    assert (await team.owner.call("DELETE", f"{PATH}/{made['id']}")).status_code == 404
    assert (await team.owner.call("POST", f"{PATH}/{made['id']}/rotate", json={})).status_code == 404


async def test_a_rotated_key_has_a_new_secret(team: Team, client: AsyncClient, cluster: Cluster, database: str) -> None:
    """The old one is refused at once; or it is good for the overlap that was asked for, and no longer."""
    made = await make_key(team.owner, *WRITE)
    second = (await team.owner.call("POST", f"{PATH}/{made['id']}/rotate", json={})).json()
    assert [(await use(client, key)).status_code for key in (made["key"], second["key"])] == [401, 200]
    body = {"overlap_seconds": 3600}
    third = (await team.owner.call("POST", f"{PATH}/{made['id']}/rotate", json=body)).json()
    assert [(await use(client, key)).status_code for key in (second["key"], third["key"])] == [200, 200]
    over = "update api_keys set previous_until = now() where id = cast(:id as uuid) returning 1"
    await cluster.rows(database, over, id=made["id"])
    assert [(await use(client, key)).status_code for key in (second["key"], third["key"])] == [401, 200]


async def test_an_expired_key_is_refused(team: Team, client: AsyncClient, cluster: Cluster, database: str) -> None:
    """After its days; the list still shows it."""
    made = await make_key(team.owner, *WRITE, expires_in_days=1)
    life = dt.datetime.fromisoformat(made["expires_at"]) - dt.datetime.now(dt.UTC)
    assert dt.timedelta(hours=23) < life <= dt.timedelta(days=1)
    expire = "update api_keys set expires_at = now() where id = cast(:id as uuid) returning 1"
    await cluster.rows(database, expire, id=made["id"])
    assert (await use(client, made["key"])).status_code == 401
    assert [key["id"] for key in (await team.owner.call("GET", PATH)).json()["items"]] == [made["id"]]


async def test_a_secret_is_shown_once_and_kept_nowhere(team: Team, cluster: Cluster, database: str) -> None:
    """Neither the list nor any table holds it."""
    made = await make_key(team.owner, *WRITE)
    assert made["key"] not in (await team.owner.call("GET", PATH)).text
    for table in ("api_keys", "audit_entries"):
        rows = await cluster.rows(database, f"select t::text from {table} t")
        assert not any(made["key"] in row[0] for row in rows)


async def test_the_last_use_is_noted(team: Team, client: AsyncClient) -> None:
    """The first use at once, the next ones within five minutes not again."""
    made = await make_key(team.owner, *WRITE)
    assert made["last_used_at"] is None
    seen = []
    for _ in range(2):
        assert (await use(client, made["key"])).status_code == 200
        [shown] = (await team.owner.call("GET", PATH)).json()["items"]
        seen.append(shown["last_used_at"])
    assert seen[0] is not None
    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/users/me"),
        ("GET", "/tenants"),
        ("POST", "/tenants"),
        ("POST", "/auth/logout"),
        ("GET", "/superuser/users"),
    ],
)
async def test_a_key_is_no_person(team: Team, client: AsyncClient, method: str, path: str) -> None:
    """Where somebody must have signed in, a key is refused, also one of the owner's with everything in it."""
    secret = (await make_key(team.owner, "tenants.read"))["key"]
    answer = await use(client, secret, method, path, json={"name": "x"} if method == "POST" else None)
    assert (answer.status_code, answer.json()["code"]) == (403, "key_not_accepted")


async def test_a_key_leaves_no_tenant_and_hands_nothing_over(team: Team, client: AsyncClient) -> None:
    """Neither a service account's nor a person's own: no key decides over a place in the tenant."""
    account = await make_account(team.owner)
    scope, body = ("tenants.read", "tenants.transfer"), {"user_id": str(team.viewer.user_id)}
    for options in ({"service_account_id": account}, {}):
        secret = (await make_key(team.owner, *scope, **options))["key"]
        for path in ("leave", "transfer"):
            sent = body if path == "transfer" else None
            answer = await use(client, secret, "POST", f"/tenants/current/{path}", json=sent)
            assert (answer.status_code, answer.json()["code"]) == (403, "key_not_accepted")


async def test_a_key_works_in_its_own_tenant_alone(team: Team, client: AsyncClient) -> None:
    """The header may repeat the key's tenant; another one is as good as none, a malformed one is refused."""
    secret = (await make_key(team.owner, *WRITE))["key"]
    caller = replace(team.owner, token=secret)
    assert (await caller.call("GET", "/projects")).status_code == 200
    there = await replace(caller, tenant_id=team.stranger.tenant_id).call("GET", "/projects")
    assert (there.status_code, there.json()["code"]) == (404, "tenant_not_found")
    odd = await caller.call("GET", "/projects", headers={"X-Tenant-ID": "x"})
    assert (odd.status_code, odd.json()["code"]) == (400, "tenant_header")


async def test_what_is_no_key_is_refused(team: Team, client: AsyncClient) -> None:
    """Forged ones, other tokens' prefixes, other lengths, cut and altered ones: all the same 401."""
    secret = (await make_key(team.owner, *WRITE))["key"]
    body = secret.removeprefix(API_KEY_PREFIX)
    forged = [
        new_token(API_KEY_PREFIX, team.owner.tenant_id),
        INVITATION_PREFIX + body,
        secret[:-1],
        f"{secret}A",
        f"{secret}=",
        secret.upper(),
        secret[:30] + ("A" if secret[30] != "A" else "B") + secret[31:],
        API_KEY_PREFIX,
        f"{API_KEY_PREFIX}{'A' * 70}",
    ]
    answers = [await use(client, key) for key in forged]
    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "unauthenticated")}


async def test_no_key_for_another_tenants_account(team: Team) -> None:
    """A foreign service account is as missing as one that never was."""
    theirs = await make_account(team.stranger)
    body = {"name": "k", "permissions": ["projects.read"], "service_account_id": theirs}
    answer = await team.owner.call("POST", PATH, json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "service_account_not_found")


@pytest.mark.parametrize(
    "fields",
    [
        {"permissions": []},
        {"permissions": ["no.such"]},
        {"expires_in_days": 0},
        {"expires_in_days": 10_000},
        {"key_hash": "x"},
        {"created_by": "x"},
        {"tenant_id": "x"},
    ],
)
async def test_a_key_is_made_as_the_document_says(team: Team, fields: dict[str, Any]) -> None:
    """No empty scope, no unknown permission, no life without end, no field that is not offered."""
    body = {"name": "k", "permissions": ["projects.read"], **fields}
    assert (await team.owner.call("POST", PATH, json=body)).status_code == 422
