"""Everybody tries to get more than they hold, by every operation; not a row changes."""

import uuid
from collections import Counter
from itertools import product
from typing import Any

import pytest

from app.core.permissions import BuiltInRole
from tests.access.roles import OPERATIONS
from tests.attacks.conftest import Record
from tests.attacks.site import DENIED, Site
from tests.attacks.wire import Answer, Wire
from tests.examples import Examples, Operation
from tests.support import Team

KEYS = "/tenants/current/api-keys"
GAINS: dict[str, Any] = {
    "tenant_id": str(uuid.UUID(int=7)),
    "is_superuser": True,
    "role": "owner",
    "id": str(uuid.UUID(int=7)),
    "permissions": ["tenants.delete"],
}
TOLD = f"select count(*) from ({DENIED}) as one"
Who = dict[str, Any]


@pytest.fixture(scope="package")
async def team(site: Site) -> Team:
    """Make the people, who share all attacks: none of them changes anything."""
    return await site.team()


async def callers(site: Site, team: Team) -> dict[str, Who]:
    """Return the header values of everybody in the tenant: each role, a person's key and a service account's."""
    held = ["projects.read", "projects.write", "tenants.manage_keys"]
    account = await team.owner.call("POST", "/tenants/current/service-accounts", json={"name": uuid.uuid4().hex})
    found: dict[str, Who] = {
        role.value: {"token": team[role].token, "tenant": team.owner.tenant_id} for role in BuiltInRole
    }
    for name, of in {"api key": {}, "service account": {"service_account_id": account.json()["id"]}}.items():
        made = await team.owner.call("POST", KEYS, json={"name": name, "permissions": held, **of})
        found[name] = {"token": made.json()["key"]}
        # Its first use is noted.
        assert (await site.door(0).call("GET", "/projects", **found[name])).status == 200
    return found


async def send(door: Wire, operation: Operation, who: Who, gain: dict[str, Any] | None = None) -> Answer:
    """Send a request that is right in form, with more in its body if it has one."""
    request = operation.request(Examples(operation.components, "x"))
    body = request.get("json")
    if "data" in request:
        form = "&".join(f"{name}={value}" for name, value in request["data"].items()).encode()
        lines = [("Content-Type", "application/x-www-form-urlencoded")]
        return await door.call(request["method"], request["path"], headers=lines, content=form, **who)
    return await door.call(request["method"], request["path"], body=body and body | (gain or {}), **who)


async def test_more_is_taken_from_no_body(site: Site, team: Team, record: Record) -> None:
    """Fields that would give more are refused on every write by who may write; where one belongs it is left out."""
    who, before = (await callers(site, team))["owner"], await site.state()
    writes = [one for one in OPERATIONS.values() if one.body is not None]
    tried = 0
    for operation, (name, value) in product(writes, GAINS.items()):
        forms = Examples(operation.components, "x").alternatives(operation.body or {})
        if any(name in form["properties"] for form in forms):
            continue
        answer = await send(site.door(tried), operation, who, {name: value})
        assert answer.is_refusal, (str(operation), name, answer.body)
        tried += 1
    assert await site.state() == before
    record(f"mass assignment: {tried} of {tried} refused on {len(writes)} writes")


async def test_what_is_not_ones_own_is_refused(site: Site, team: Team, record: Record) -> None:
    """Superusers' operations to everybody of a tenant, and every operation in another's tenant with one's own ids.

    Each attempt of a person is in the audit, and nothing else is left; a key is turned away before it is anybody's.
    """
    found, before = await callers(site, team), Counter[str]()
    state, told = await site.state(), await site.value(TOLD)
    for name, who in found.items():
        for operation in OPERATIONS.values():
            if operation.access == "superuser":
                kind, sent = "superuser", who
            elif operation.needs_tenant:
                kind, sent = "tenant", who | {"tenant": team.stranger.tenant_id}
            else:
                continue
            answer = await send(site.door(before.total()), operation, sent)
            assert (answer.is_refusal, answer.status) in {(True, 403), (True, 404)}, (name, str(operation), answer.body)
            before[kind] += 1
    assert await site.state() == state
    assert await site.value(TOLD) == told + before.total() * len(BuiltInRole) // len(found)
    record(f"superuser operations by {len(found)} callers: {before['superuser']} of {before['superuser']} refused")
    record(f"another's X-Tenant-ID by {len(found)} callers: {before['tenant']} of {before['tenant']} refused")


async def test_nobody_raises_themselves(site: Site, team: Team, record: Record) -> None:
    """Roles, invitations, keys, rotations and hand-overs beyond what one holds are refused to everybody but owners."""
    found = await callers(site, team)
    strong = (await team.owner.call("POST", KEYS, json={"name": "s", "permissions": ["tenants.delete"]})).json()["id"]
    owners = str(team.owner.user_id)
    people = "/tenants/current/members"
    tries: list[tuple[str, str, dict[str, Any] | None]] = [
        ("PATCH", f"{people}/{team[role].user_id}", {"role": "owner"}) for role in ("admin", "member", "viewer")
    ]
    tries += [
        ("PATCH", f"{people}/{owners}", {"role": "viewer"}),
        ("DELETE", f"{people}/{owners}", None),
        ("POST", "/tenants/current/transfer", {"user_id": str(team.admin.user_id)}),
        ("POST", "/tenants/current/invitations", {"email": "friend@example.com", "role": "owner"}),
        ("POST", "/tenants/current/roles", {"name": "mine", "permissions": ["tenants.delete"]}),
        ("POST", KEYS, {"name": "mine", "permissions": ["tenants.delete"]}),
        ("POST", KEYS, {"name": "mine", "permissions": ["projects.read", "tenants.transfer"]}),
        ("POST", f"{KEYS}/{strong}/rotate", {}),
        ("DELETE", "/tenants/current", None),
    ]
    for_everybody: list[tuple[str, str, dict[str, Any] | None]] = [
        *(("PATCH", f"/tenants/current/roles/{role}", {"permissions": ["tenants.delete"]}) for role in BuiltInRole),
        *(("DELETE", f"/tenants/current/roles/{role}", None) for role in BuiltInRole),
        *(("POST", "/tenants/current/roles", {"name": str(role), "permissions": []}) for role in BuiltInRole),
    ]
    state, tried = await site.state(), 0
    for name, who in found.items():
        for method, path, body in for_everybody + ([] if name == "owner" else tries):
            answer = await site.door(tried).call(method, path, body=body, **who)
            assert answer.is_refusal, (name, method, path, body, answer.body)
            tried += 1
    assert await site.state() == state
    record(f"escalation by {len(found)} callers: {tried} of {tried} refused, 0 rows changed")
