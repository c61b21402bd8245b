"""The way back for who has forgotten the password: a link in a mail, good once."""

import asyncio
import uuid
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from sqlalchemy import event

from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.auth.mailbox import NEW_PASSWORD, Mailbox, forget, refused, reset, verify
from tests.support import PASSWORD, Caller, Cluster, Team, settled_of, sign_in

LINKS = "select * from auth_links where user_id = :user and purpose = 'reset' order by created_at"


async def accepts(client: AsyncClient, email: str, password: str) -> bool:
    """Tell whether a password signs in."""
    answer = await client.post("/auth/login", json={"email": email, "password": password})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


async def test_a_link_sets_a_new_password(
    client: AsyncClient, team: Team, cluster: Cluster, database: str, mailbox: Mailbox
) -> None:
    """The new one signs in, the old one does not, every session has ended, the address is verified, a mail says so."""
    caller = team.owner
    tokens = await sign_in(client, caller.email)
    token = await forget(client, mailbox, caller.email)
    answer = await reset(client, token)
    assert (answer.status_code, answer.json()["status"]) == (200, True)
    assert [await accepts(client, caller.email, one) for one in (PASSWORD, NEW_PASSWORD)] == [False, True]
    for access in (caller.token, tokens["access_token"]):
        bearer = {"Authorization": f"Bearer {access}"}
        assert (await client.get("/users/me", headers=bearer)).status_code == 401
    assert (await team.member.call("GET", "/users/me")).status_code == 200
    bearer = {"Authorization": f"Bearer {(await sign_in(client, caller.email, NEW_PASSWORD))['access_token']}"}
    assert (await client.get("/users/me", headers=bearer)).json()["email_verified"] is True
    assert (await mailbox.mails(caller.email))[-1].subject == f"{settings.project_name}: your password was changed"
    query = "select tenant_id, actor_id, after from audit_entries where object_id = :id and action = :action"
    rows = await cluster.rows(database, query, id=caller.user_id, action="user.password_reset")
    assert [tuple(row) for row in rows] == [(SYSTEM_TENANT_ID, caller.user_id, {"sessions_ended": 2})]


async def test_the_mail_holds_the_link_and_nothing_of_the_person(
    client: AsyncClient, mailbox: Mailbox, cluster: Cluster, database: str
) -> None:
    """The token stands behind the `#`; a name that somebody else chose is in no mail; the table has a hash only."""
    email = f"{uuid.uuid4().hex}@example.com"
    name = "You have won: http://evil.example"
    body = {"email": email, "password": PASSWORD, "full_name": name, "tenant_name": name}
    made = await client.post("/auth/register", json=body)
    token = await forget(client, mailbox, email)
    mails = {mail.subject: mail.text for mail in await mailbox.mails(email)}
    confirm, set_new = (f"{settings.project_name}: {what}" for what in ("confirm your address", "set a new password"))
    assert mails.keys() == {confirm, set_new}
    assert f"http://127.0.0.1:8000/reset-password#token={token}\n" in mails[set_new]
    assert not any("evil" in text + subject for subject, text in mails.items())
    (row,) = await cluster.rows(database, LINKS, user=uuid.UUID(made.json()["user"]["id"]))
    assert len(row.token_hash) == 32
    assert (row.email, row.used_at) == (email, None)
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(1800, abs=5)


async def test_a_link_is_good_once(client: AsyncClient, owner: Caller, mailbox: Mailbox) -> None:
    """The second time it is refused, like one that never was."""
    token = await forget(client, mailbox, owner.email)
    assert not refused(await reset(client, token))
    assert refused(await reset(client, token, "twelve blue saucepans"))
    assert await accepts(client, owner.email, NEW_PASSWORD)


async def test_of_many_at_once_one_succeeds(client: AsyncClient, owner: Caller, mailbox: Mailbox) -> None:
    """Five who bring one link at the same moment: one password is set, and it is the winner's."""
    token = await forget(client, mailbox, owner.email)
    candidates = [f"{number} green kettles, {number} lakes" for number in ("one", "two", "three", "four", "five")]
    answers = await asyncio.gather(*(reset(client, token, one) for one in candidates))
    lost = [refused(answer) for answer in answers]
    assert lost.count(False) == 1
    assert [await accepts(client, owner.email, one) for one in candidates] == [not one for one in lost]


async def test_a_new_link_retires_the_older_ones(
    client: AsyncClient, owner: Caller, mailbox: Mailbox, cluster: Cluster, database: str
) -> None:
    """Of several that were asked for, one after the other or at once, only one is good."""
    for _ in range(2):
        await forget(client, mailbox, owner.email)
    body = {"email": owner.email}
    await asyncio.gather(*(client.post("/auth/password/forgot", json=body) for _ in range(5)))
    tokens = await mailbox.links(owner.email, "reset-password")
    assert len(tokens) == len(set(tokens)) == 7
    unused = [row for row in await cluster.rows(database, LINKS, user=owner.user_id) if row.used_at is None]
    assert len(unused) == 1
    assert [refused(await reset(client, token)) for token in tokens].count(False) == 1


SPOILT = {
    "expired": "update auth_links set expires_at = now() where user_id = :user returning 1",
    "another_address": "update users set email = 'new.' || email where id = :user returning 1",
    "disabled": "update users set disabled_at = now() where id = :user returning 1",
}


@pytest.mark.parametrize("case", SPOILT)
async def test_a_link_can_spoil(
    client: AsyncClient, owner: Caller, mailbox: Mailbox, cluster: Cluster, database: str, case: str
) -> None:
    """In time, when its person has another address, and when the account is disabled; the password stays."""
    stored = "select password_hash from credentials where user_id = :user"
    before = await cluster.rows(database, stored, user=owner.user_id)
    token = await forget(client, mailbox, owner.email)
    await cluster.rows(database, SPOILT[case], user=owner.user_id)
    assert refused(await reset(client, token))
    assert await cluster.rows(database, stored, user=owner.user_id) == before


@pytest.mark.parametrize("new", ["passwordpassword", "{email}", "somebodysomebody"])
async def test_a_weak_password_does_not_use_the_link_up(
    client: AsyncClient, owner: Caller, mailbox: Mailbox, new: str
) -> None:
    """Who is told that the password is weak tries another one with the same link."""
    token = await forget(client, mailbox, owner.email)
    answer = await reset(client, token, new.format(email=owner.email))
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["errors"][0]["loc"] == ["body", "new_password"]
    assert (await reset(client, token)).status_code == 200


@pytest.mark.parametrize(
    "token", ["gpl_" + "A" * 43, "gpl_", "?x?", "é🔑", "with\0nul", "' or 1 = 1 --", "x" * 2000, " \t"]
)
async def test_what_is_no_link_of_ours_is_refused(client: AsyncClient, token: str) -> None:
    """An unknown or malformed token is refused in the one way, for either purpose, and not shown."""
    for answer in (await reset(client, token), await verify(client, token)):
        assert refused(answer)
        assert token not in answer.text.replace(" \t", "")


async def test_no_token_stands_in_for_another(client: AsyncClient, owner: Caller, mailbox: Mailbox) -> None:
    """Access, refresh and link tokens are each good for one thing; nor is a link good for another purpose."""
    tokens = await sign_in(client, owner.email)
    (verification,) = await mailbox.links(owner.email, "verify-email")
    link = await forget(client, mailbox, owner.email)
    for token in (*tokens.values(), verification, link[:-1], link + "A", link.lower(), link.removeprefix("gpl_")):
        assert refused(await reset(client, str(token)))
    for token in (*tokens.values(), link):
        assert refused(await verify(client, str(token)))
    for token in (verification, link):
        refreshed = await client.post("/auth/refresh", json={"refresh_token": token})
        assert (refreshed.status_code, refreshed.json()["code"]) == (401, "refresh_refused")
        me = await client.get("/users/me", headers={"Authorization": f"Bearer {token}"})
        assert me.status_code == 401
    assert not refused(await verify(client, verification))
    assert not refused(await reset(client, link))


@pytest.mark.parametrize(
    "email",
    [
        "a" * 64 + "@" + ("b" * 63 + ".") * 3 + "b" * 63,
        "a@example.com\r\nBcc: b@example.com",
        "a@example.com\n",
        "a" * 309 + "@example.com",
        "a@b@example.com",
        "",
        None,
        ["a@example.com"],
    ],
)
async def test_what_is_no_address_is_refused(client: AsyncClient, email: object) -> None:
    """It is 422, before anything is looked up or sent."""
    answer = await client.post("/auth/password/forgot", json={"email": email})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"][:2] == ["body", "email"]


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        ("{}@example.com", "{}@EXAMPLE.COM"),
        ("{}@bücher.example", "{}@xn--bcher-kva.example"),
        ("{}.r\u00e9my@例え.テスト", "{}.re\u0301my@xn--r8jz45g.xn--zckzah"),
    ],
)
async def test_an_address_is_found_however_it_is_written(
    client: AsyncClient, mailbox: Mailbox, stored: str, asked: str
) -> None:
    """Upper case and international domains lead to the same account, and the mail goes to the stored form."""
    mark = uuid.uuid4().hex
    body = {"email": stored.format(mark), "password": PASSWORD, "full_name": "a", "tenant_name": "b"}
    assert (await client.post("/auth/register", json=body)).status_code == 201
    assert (await client.post("/auth/password/forgot", json={"email": asked.format(mark)})).status_code == 202
    assert len(await mailbox.links(stored.format(mark), "reset-password")) == 1


async def answer_of(client: AsyncClient, email: str) -> tuple[int, Any, list[str]]:
    """Return what of an answer does not name the request."""
    answer: Response = await client.post("/auth/password/forgot", json={"email": email})
    return answer.status_code, answer.json(), sorted(answer.headers)


async def test_the_answer_says_nothing_of_the_account(
    client: AsyncClient, application: FastAPI, team: Team, cluster: Cluster, database: str, mailbox: Mailbox
) -> None:
    """Known, unknown or disabled: one answer, and before it one statement, an entry. Only who is known gets a mail."""
    await cluster.rows(database, SPOILT["disabled"], user=team.viewer.user_id)
    emails = [team.owner.email, f"{uuid.uuid4().hex}@example.com", team.viewer.email]
    counts = [len(await mailbox.mails(email)) for email in emails]
    engine = application.state.serving.gate.work.sessions.kw["bind"].sync_engine
    statements: list[str] = []

    def note(_: Any, __: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement.partition(" (")[0])

    event.listen(engine, "before_cursor_execute", note)
    found, before = [], []
    for email in emails:
        found.append(await answer_of(client, email))
        before.append(list(statements))
        await settled_of(mailbox.work)
        statements.clear()
    event.remove(engine, "before_cursor_execute", note)
    assert found == [found[0]] * 3
    assert found[0][:2] == (
        202,
        {"status": True, "msg": "If there is such an account, a mail is on its way.", "details": {}},
    )
    assert before == [["INSERT INTO outbox_entries"]] * 3
    assert [len(await mailbox.mails(email)) for email in emails] == [counts[0] + 1, *counts[1:]]
