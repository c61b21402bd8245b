"""Proof that somebody reads what is sent to their address."""

import asyncio
import uuid

import pytest
from httpx2 import AsyncClient

from app.db.tenancy import SYSTEM_TENANT_ID
from tests.auth.mailbox import Mailbox, refused, verify
from tests.support import Caller, Cluster

VERIFIED = "select email_verified_at from users where id = :user"


async def is_verified(caller: Caller) -> bool:
    """Return what the account shows."""
    shown: bool = (await caller.call("GET", "/users/me")).json()["email_verified"]
    return shown


async def test_registering_sends_a_link_that_verifies(
    client: AsyncClient, owner: Caller, mailbox: Mailbox, cluster: Cluster, database: str
) -> None:
    """One signs in before it; afterwards the account shows it, and the audit has who and when."""
    assert not await is_verified(owner)
    (token,) = await mailbox.links(owner.email, "verify-email")
    answer = await verify(client, token)
    assert (answer.status_code, answer.json()["msg"]) == (200, "The address is verified.")
    assert await is_verified(owner)
    query = "select tenant_id, actor_id, outcome from audit_entries where object_id = :id and action = :action"
    rows = await cluster.rows(database, query, id=owner.user_id, action="user.email_verified")
    assert [tuple(row) for row in rows] == [(SYSTEM_TENANT_ID, owner.user_id, "success")]


async def test_a_link_is_good_once(
    client: AsyncClient, owner: Caller, mailbox: Mailbox, cluster: Cluster, database: str
) -> None:
    """Of several at once one succeeds; later it is refused, and the time of the first stays."""
    (token,) = await mailbox.links(owner.email, "verify-email")
    answers = await asyncio.gather(*(verify(client, token) for _ in range(5)))
    assert [refused(answer) for answer in answers].count(False) == 1
    first = await cluster.rows(database, VERIFIED, user=owner.user_id)
    assert refused(await verify(client, token))
    assert await cluster.rows(database, VERIFIED, user=owner.user_id) == first


async def test_another_link_can_be_asked_for(client: AsyncClient, owner: Caller, mailbox: Mailbox) -> None:
    """It retires the older one; once the address is verified the answer is the same, and nothing is sent."""
    sent = await owner.call("POST", "/auth/email/verify/send")
    assert sent.status_code == 202
    older, newer = await mailbox.links(owner.email, "verify-email")
    assert refused(await verify(client, older))
    assert not refused(await verify(client, newer))
    again = await owner.call("POST", "/auth/email/verify/send")
    assert (again.status_code, again.json()) == (202, sent.json())
    assert len(await mailbox.links(owner.email, "verify-email")) == 2


@pytest.mark.parametrize(
    "statement",
    [
        "update auth_links set expires_at = now() where user_id = :user returning 1",
        "update users set email = 'new.' || email where id = :user returning 1",
        "update users set disabled_at = now() where id = :user returning 1",
    ],
    ids=["expired", "another_address", "disabled"],
)
async def test_a_link_can_spoil(
    client: AsyncClient, owner: Caller, mailbox: Mailbox, cluster: Cluster, database: str, statement: str
) -> None:
    """A link to an old address does not verify the new one."""
    (token,) = await mailbox.links(owner.email, "verify-email")
    await cluster.rows(database, statement, user=owner.user_id)
    assert refused(await verify(client, token))
    assert await cluster.rows(database, VERIFIED, user=owner.user_id) == [(None,)]


async def test_a_registration_that_failed_sends_nothing(client: AsyncClient, owner: Caller, mailbox: Mailbox) -> None:
    """An address that is taken gets no second mail."""
    body = {"email": owner.email, "password": "some quiet otters", "full_name": "a", "tenant_name": "b"}
    assert (await client.post("/auth/register", json=body)).status_code == 409
    assert len(await mailbox.mails(owner.email)) == 1


async def test_a_refused_link_is_audited(client: AsyncClient, cluster: Cluster, database: str) -> None:
    """The refusal does not undo its entry."""
    request_id = uuid.uuid4().hex
    answer = await client.post("/auth/email/verify", json={"token": "gpl_x"}, headers={"X-Request-ID": request_id})
    assert refused(answer)
    rows = await cluster.rows(database, "select action from audit_entries where request_id = :id", id=request_id)
    assert [row.action for row in rows] == ["link.refused"]
