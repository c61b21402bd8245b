"""Invitations: sent by mail, accepted once, by the account of the address or by a new one."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from httpx2 import AsyncClient

from app.core.unit_of_work import UnitOfWork
from app.tenants.utils import API_KEY_PREFIX, INVITATION_PREFIX, new_token
from tests.support import Caller, Cluster, Team, register, sign_in
from tests.tenants.invited import NEW, accept, invite, new_address, tokens


async def test_a_new_person_comes_in(team: Team, client: AsyncClient, work: UnitOfWork) -> None:
    """The mail's token makes an account for the address and a membership in the offered role; then it is over."""
    email = new_address()
    sent = await invite(team.admin, email.upper(), "viewer")
    assert sent.status_code == 201, sent.text
    assert (sent.json()["email"], sent.json()["role"]) == (email, "viewer")
    [token] = await tokens(work, email)
    assert token not in sent.text
    answer = await accept(client, token, **NEW)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "tenant_id": str(team.owner.tenant_id),
        "user_id": answer.json()["user_id"],
        "role": "viewer",
    }
    access = (await sign_in(client, email))["access_token"]
    caller = replace(team.viewer, token=access)
    assert (await caller.call("GET", "/projects")).status_code == 200
    assert (await caller.call("POST", "/projects", json={"name": "x"})).status_code == 403
    for again in (await accept(client, token, **NEW), await accept(client, token)):
        assert (again.status_code, again.json()["code"]) == (400, "invitation_refused")
    assert (await team.admin.call("GET", "/tenants/current/invitations")).json()["items"] == []


async def prove(cluster: Cluster, database: str, person: Caller) -> None:
    """Let somebody have verified their address."""
    query = "update users set email_verified_at = now() where id = :user returning 1"
    assert await cluster.rows(database, query, user=person.user_id)


async def test_who_registered_an_address_of_others_gains_nothing(
    team: Team, client: AsyncClient, work: UnitOfWork
) -> None:
    """An account that never proved its address gets no place, by its invited owner's hand either.

    Unless the same person holds both, the sign-in and the mail.
    """
    squatter = await register(client)
    await invite(team.owner, squatter.email)
    [token] = await tokens(work, squatter.email)
    for headers in ({}, {"Authorization": f"Bearer {team.stranger.token}"}):
        answer = await client.post("/invitations/accept", json={"token": token, **NEW}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (409, "email_not_verified")
    odd = {"Authorization": "Bearer nonsense"}
    assert (await client.post("/invitations/accept", json={"token": token}, headers=odd)).status_code == 401
    assert (await squatter.call("POST", "/invitations/accept", json={"token": token})).status_code == 200
    assert (await squatter.call("GET", "/users/me")).json()["email_verified"] is True


async def test_that_it_proved_the_address_is_audited_once(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """In the audit of the tenant that invited; somebody whose address is known proves nothing new."""
    query = "select action, actor_id from audit_entries where tenant_id = :tenant and object_id = :id order by id"
    for caller, wanted in ((await register(client), True), (team.stranger, False)):
        if not wanted:
            await prove(cluster, database, caller)
        await invite(team.owner, caller.email)
        [token] = await tokens(work, caller.email)
        assert (await caller.call("POST", "/invitations/accept", json={"token": token})).status_code == 200
        rows = await cluster.rows(database, query, tenant=team.owner.tenant_id, id=caller.user_id)
        assert ("user.email_verified" in {row.action for row in rows}) is wanted
        assert {row.actor_id for row in rows} == {caller.user_id}


async def test_a_known_person_needs_no_password(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """The place goes to the account of the address; name and password that are sent along change nothing of it."""
    await prove(cluster, database, team.stranger)
    await invite(team.owner, team.stranger.email, "admin")
    [token] = await tokens(work, team.stranger.email)
    other = {"full_name": "Somebody Else", "password": "quite another password"}
    assert (await accept(client, token, **other)).json()["user_id"] == str(team.stranger.user_id)
    me = await replace(team.stranger, tenant_id=team.owner.tenant_id).call("GET", "/tenants/current/members")
    assert me.status_code == 200
    await sign_in(client, team.stranger.email)
    assert (await team.stranger.call("GET", "/users/me")).json()["full_name"] == "Some Body"


async def test_nobody_takes_the_place_of_another(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """A stranger who brings somebody else's token adds that person, not themselves."""
    invited = await register(client)
    await prove(cluster, database, invited)
    await invite(team.owner, invited.email)
    [token] = await tokens(work, invited.email)
    answer = await team.stranger.call("POST", "/invitations/accept", json={"token": token})
    assert answer.json()["user_id"] == str(invited.user_id)
    thief = replace(team.stranger, tenant_id=team.owner.tenant_id)
    assert (await thief.call("GET", "/projects")).status_code == 404


async def test_without_account_a_name_and_password_are_needed(
    team: Team, client: AsyncClient, work: UnitOfWork
) -> None:
    """Nothing is used up by asking, nor by a password that is refused."""
    email = new_address()
    await invite(team.owner, email)
    [token] = await tokens(work, email)
    for person in ({}, {"full_name": "New"}, {"password": NEW["password"]}):
        answer = await accept(client, token, **person)
        assert (answer.status_code, answer.json()["code"]) == (422, "account_needed")
    assert (await accept(client, token, full_name="New", password="short")).status_code == 422
    assert (await accept(client, token, **NEW)).status_code == 200


async def test_an_answer_does_not_tell_whether_there_is_an_account(team: Team) -> None:
    """Two addresses, one known and one unknown: the same status and the same fields."""
    known, unknown = await invite(team.owner, team.stranger.email), await invite(team.owner, new_address())
    assert known.status_code == unknown.status_code == 201
    same = {"role", "invited_by"}
    assert {name: known.json()[name] for name in same} == {name: unknown.json()[name] for name in same}
    assert known.json().keys() == unknown.json().keys()


async def test_one_at_a_time_for_an_address(team: Team, client: AsyncClient, work: UnitOfWork) -> None:
    """A second one is refused, spelled otherwise too; a revoked one makes room, and its token is dead."""
    email = new_address()
    first = await invite(team.owner, email)
    for again in (email, email.upper()):
        answer = await invite(team.admin, again)
        assert (answer.status_code, answer.json()["code"]) == (409, "already_invited")
    path = f"/tenants/current/invitations/{first.json()['id']}"
    assert (await team.admin.call("DELETE", path)).status_code == 200
    assert (await team.admin.call("DELETE", path)).status_code == 404
    assert (await invite(team.owner, email)).status_code == 201
    dead, living = await tokens(work, email)
    assert (await accept(client, dead, **NEW)).json()["code"] == "invitation_refused"
    assert (await accept(client, living, **NEW)).status_code == 200


async def test_two_invitations_at_once_are_one(team: Team, work: UnitOfWork) -> None:
    """Of ten at the same moment one is sent, and the rest are told of it."""
    email = new_address()
    answers = await asyncio.gather(*(invite(team.owner, email) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 9
    assert len(await tokens(work, email)) == 1


async def test_ten_at_once_accept_once(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """One account, one membership, whoever was first."""
    email = new_address()
    await invite(team.owner, email)
    [token] = await tokens(work, email)
    answers = await asyncio.gather(*(accept(client, token, **NEW) for _ in range(10)))
    assert [answer.status_code for answer in answers].count(200) == 1
    assert {answer.status_code for answer in answers} <= {200, 400, 409}
    places = "select 1 from memberships m join users u on u.id = m.user_id where u.email = :email"
    assert len(await cluster.rows(database, places, email=email)) == 1


async def test_a_member_is_not_invited(team: Team) -> None:
    """Who can see the members may know."""
    answer = await invite(team.owner, team.viewer.email)
    assert (answer.status_code, answer.json()["code"]) == (409, "already_member")


async def test_an_expired_one_is_refused_and_makes_room(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """After its days an invitation is as good as none."""
    email = new_address()
    made = (await invite(team.owner, email)).json()
    [token] = await tokens(work, email)
    expire = "update invitations set expires_at = now() where id = cast(:id as uuid) returning 1"
    await cluster.rows(database, expire, id=made["id"])
    assert (await accept(client, token, **NEW)).json()["code"] == "invitation_refused"
    assert (await team.owner.call("GET", "/tenants/current/invitations")).json()["items"] == []
    assert (await invite(team.owner, email)).status_code == 201


async def test_a_closed_tenant_takes_nobody_in(team: Team, client: AsyncClient, work: UnitOfWork) -> None:
    """Deleted, its invitations are refused; restored, they are good again."""
    email = new_address()
    await invite(team.owner, email)
    [token] = await tokens(work, email)
    assert (await team.owner.call("DELETE", "/tenants/current")).status_code == 200
    assert (await accept(client, token, **NEW)).json()["code"] == "invitation_refused"
    assert (await team.owner.call("POST", "/tenants/current/restore")).status_code == 200
    assert (await accept(client, token, **NEW)).status_code == 200


@pytest.mark.parametrize(
    "token",
    ["", "gpi_", "gpi_x", "x" * 2000, "gpi_" + "A" * 70, "gpk_" + "A" * 70, "gpi_é", "gpi_" + "\x7f" * 70],
)
async def test_what_is_no_token_is_refused(client: AsyncClient, token: str) -> None:
    """Every text that was never mailed is refused in the same words, or for its length."""
    answer = await accept(client, token, **NEW)
    assert answer.status_code in {400, 422}
    assert token == "" or token not in answer.text or len(token) < 6


async def test_a_forged_token_is_refused(team: Team, client: AsyncClient) -> None:
    """A token of the right form, for a tenant that exists, that nobody mailed; and one of another kind."""
    for prefix in (INVITATION_PREFIX, API_KEY_PREFIX):
        answer = await accept(client, new_token(prefix, team.owner.tenant_id), **NEW)
        assert (answer.status_code, answer.json()["code"]) == (400, "invitation_refused")


@pytest.mark.parametrize(
    "fields",
    [{"tenant_id": "x"}, {"id": "x"}, {"token_hash": "x"}, {"expires_at": None}, {"is_superuser": True}],
)
async def test_nothing_else_can_be_set(team: Team, fields: dict[str, Any]) -> None:
    """Mass assignment is refused by name."""
    answer = await team.owner.call(
        "POST", "/tenants/current/invitations", json={"email": new_address(), "role": "viewer", **fields}
    )
    assert answer.status_code == 422


async def test_a_mail_holds_no_line_of_a_tenants_making(
    team: Team, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """A name with line breaks is refused; one that came in by other ways stays within its line, in subject and text."""
    name = "Evil\r\nBcc: a@example.com\n\nPay here"
    assert (await team.owner.call("PATCH", "/tenants/current", json={"name": name})).status_code == 422
    query = "update tenants set name = :name where id = :tenant returning 1"
    assert await cluster.rows(database, query, name=name, tenant=team.owner.tenant_id)
    email = new_address()
    assert (await invite(team.owner, email)).status_code == 201
    [_] = await tokens(work, email)
    [mail] = work.services.mailer.to(email)  # type: ignore[attr-defined]
    assert mail.subject == "You are invited to Evil Bcc: a@example.com Pay here"
    assert "\nBcc" not in mail.text


async def test_revoked_or_accepted_and_never_both(team: Team, client: AsyncClient, work: UnitOfWork) -> None:
    """Of the two at once one succeeds, and the invitation is over."""
    for _ in range(8):
        email = new_address()
        made = (await invite(team.owner, email)).json()
        [token] = await tokens(work, email)
        path = f"/tenants/current/invitations/{made['id']}"
        revoked, accepted = await asyncio.gather(team.admin.call("DELETE", path), accept(client, token, **NEW))
        assert sorted([revoked.status_code == 200, accepted.status_code == 200]) == [False, True]


async def test_who_is_removed_lets_nobody_in(team: Team, client: AsyncClient, work: UnitOfWork) -> None:
    """Invitations go with who sent them: else an admin who was taken out would come back by one."""
    email = new_address()
    await invite(team.admin, email, "admin")
    [token] = await tokens(work, email)
    path = f"/tenants/current/members/{team.admin.user_id}"
    assert (await team.owner.call("DELETE", path)).status_code == 200
    assert (await accept(client, token, **NEW)).json()["code"] == "invitation_refused"


async def test_a_disabled_person_accepts_nothing(
    team: Team, client: AsyncClient, work: UnitOfWork, cluster: Cluster, database: str
) -> None:
    """Who is refused everywhere gets no new place either."""
    await prove(cluster, database, team.stranger)
    await invite(team.owner, team.stranger.email)
    [token] = await tokens(work, team.stranger.email)
    query = "update users set disabled_at = now() where id = :user returning 1"
    assert await cluster.rows(database, query, user=team.stranger.user_id)
    assert (await accept(client, token)).json()["code"] == "invitation_refused"


async def test_an_expired_one_keeps_no_role(team: Team, cluster: Cluster, database: str) -> None:
    """A role that only an expired invitation names can be deleted."""
    role = (await team.owner.call("POST", "/tenants/current/roles", json={"name": "old", "permissions": []})).json()
    made = (await invite(team.owner, new_address(), "old")).json()
    path = f"/tenants/current/roles/{role['id']}"
    assert (await team.owner.call("DELETE", path)).status_code == 409
    expire = "update invitations set expires_at = now() where id = cast(:id as uuid) returning 1"
    assert await cluster.rows(database, expire, id=made["id"])
    assert (await team.owner.call("DELETE", path)).status_code == 200
