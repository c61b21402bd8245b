"""A password is changed by who knows the present one."""

import asyncio
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from app.auth.passwords import passwords
from app.config import settings
from app.db.tenancy import SYSTEM_TENANT_ID
from tests.auth.hashers import WatchedHasher
from tests.auth.mailbox import NEW_PASSWORD, Mailbox, forget, refused, reset
from tests.support import PASSWORD, Caller, Cluster, Team, sign_in

STORED = "select password_hash from credentials where user_id = :user"


async def change(caller: Caller, current: Any = PASSWORD, new: Any = NEW_PASSWORD, token: str = "") -> Response:
    """Change a password, with another access token of the caller on request."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    body = {"current_password": current, "new_password": new}
    return await caller.call("POST", "/auth/password/change", json=body, headers=headers)


async def accepts(caller: Caller, password: str) -> bool:
    """Tell whether a password signs in."""
    answer = await caller.client.post("/auth/login", json={"email": caller.email, "password": password})
    assert answer.status_code in {200, 401}
    return answer.status_code == 200


async def test_the_new_password_is_the_only_one(team: Team, cluster: Cluster, database: str, mailbox: Mailbox) -> None:
    """Every other session of the account ends, this one stays; a mail tells of it, and the audit."""
    caller = team.owner
    other = await sign_in(caller.client, caller.email)
    answer = await change(caller)
    assert (answer.status_code, answer.json()["msg"]) == (200, "The password is changed.")
    assert [await accepts(caller, password) for password in (PASSWORD, NEW_PASSWORD)] == [False, True]
    bearer = {"Authorization": f"Bearer {other['access_token']}"}
    assert (await caller.client.get("/users/me", headers=bearer)).status_code == 401
    refreshed = await caller.client.post("/auth/refresh", json={"refresh_token": other["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await caller.call("GET", "/users/me")).status_code == 200
    assert (await team.member.call("GET", "/users/me")).status_code == 200
    notice = (await mailbox.mails(caller.email))[-1]
    assert notice.subject == f"{settings.project_name}: your password was changed"
    assert NEW_PASSWORD not in notice.text
    query = "select tenant_id, after from audit_entries where object_id = :id and action = 'user.password_changed'"
    rows = await cluster.rows(database, query, id=caller.user_id)
    assert [tuple(row) for row in rows] == [(SYSTEM_TENANT_ID, {"sessions_ended": 1})]


async def test_a_wrong_present_password_changes_nothing(
    owner: Caller, cluster: Cluster, database: str, mailbox: Mailbox
) -> None:
    """It is 400, not 401: the sign-in is good. No mail is sent, and the audit keeps it."""
    other = await sign_in(owner.client, owner.email)
    answer = await change(owner, "not the password")
    assert (answer.status_code, answer.json()["code"]) == (400, "wrong_password")
    assert await accepts(owner, PASSWORD)
    bearer = {"Authorization": f"Bearer {other['access_token']}"}
    assert (await owner.client.get("/users/me", headers=bearer)).status_code == 200
    assert [mail for mail in await mailbox.mails(owner.email) if "changed" in mail.subject] == []
    query = "select outcome from audit_entries where object_id = :id and action = 'user.password_refused'"
    assert [row.outcome for row in await cluster.rows(database, query, id=owner.user_id)] == ["failure"]


@pytest.mark.parametrize("password", ["passwordpassword", "Some Body Some Body", "{email}"])
async def test_a_weak_password_is_refused(owner: Caller, password: str) -> None:
    """The same rules as at registration, with what is known of the person; the field is the new password's."""
    password = password.format(email=owner.email)
    answer = await change(owner, new=password)
    assert (answer.status_code, answer.json()["code"]) == (422, "weak_password")
    assert answer.json()["errors"][0]["loc"] == ["body", "new_password"]
    assert password not in answer.text
    assert await accepts(owner, PASSWORD)


async def test_who_does_not_know_the_password_learns_nothing_of_the_rules(owner: Caller) -> None:
    """The present password is verified first."""
    assert (await change(owner, "not the password", "passwordpassword")).json()["code"] == "wrong_password"


async def test_a_short_old_password_still_works(owner: Caller, cluster: Cluster, database: str) -> None:
    """Who had a short one before the rules came signs in with it, and may change it, to a long one only."""
    short = await passwords.hash("short 7")
    query = "update credentials set password_hash = :hash where user_id = :user returning 1"
    await cluster.rows(database, query, hash=short, user=owner.user_id)
    await sign_in(owner.client, owner.email, "short 7")
    assert (await change(owner, "short 7", "short 8")).status_code == 422
    assert (await change(owner, "short 7")).status_code == 200
    await sign_in(owner.client, owner.email, NEW_PASSWORD)


async def test_of_two_at_once_one_succeeds(owner: Caller, cluster: Cluster, database: str) -> None:
    """Both know the present password: the slower one is told that it is another now."""
    tokens = [(await sign_in(owner.client, owner.email))["access_token"] for _ in range(2)]
    candidates = [NEW_PASSWORD, "twelve blue saucepans"]
    answers = await asyncio.gather(
        *(change(owner, new=new, token=token) for new, token in zip(candidates, tokens, strict=True))
    )
    codes = [answer.status_code for answer in answers]
    assert sorted(codes) in ([200, 400], [200, 401])
    assert [await accepts(owner, new) for new in candidates] == [code == 200 for code in codes]
    assert not await accepts(owner, PASSWORD)


async def test_a_change_retires_the_links(client: AsyncClient, owner: Caller, mailbox: Mailbox) -> None:
    """A link that was asked for before the change sets no password after it."""
    token = await forget(client, mailbox, owner.email)
    assert (await change(owner)).status_code == 200
    assert refused(await reset(client, token, "twelve blue saucepans"))
    assert await accepts(owner, NEW_PASSWORD)


@pytest.mark.parametrize("meanwhile", ["password", "disabled"])
async def test_a_sign_in_that_began_before_the_change_starts_no_session(
    owner: Caller, cluster: Cluster, database: str, hasher: WatchedHasher, meanwhile: str
) -> None:
    """The old password is verified while the account changes: what was right is not right any more."""
    hasher.gate.clear()
    login = asyncio.ensure_future(owner.client.post("/auth/login", json={"email": owner.email, "password": PASSWORD}))
    statements = {
        "password": "update credentials set password_hash = 'another' where user_id = :user returning 1",
        "disabled": "update users set disabled_at = now() where id = :user returning 1",
    }
    try:
        async with asyncio.timeout(30):
            while not hasher.running:  # noqa: ASYNC110 - a thread changes it, it sets no event
                await asyncio.sleep(0.001)
        await cluster.rows(database, statements[meanwhile], user=owner.user_id)
    finally:
        hasher.gate.set()
    answer = await login
    assert (answer.status_code, answer.json()["code"]) == (401, "wrong_credentials")
    count = "select count(*) from auth_sessions where user_id = :user"
    assert await cluster.rows(database, count, user=owner.user_id) == [(1,)]


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("", NEW_PASSWORD, "current_password"),
        ("x" * 257, NEW_PASSWORD, "current_password"),
        (None, NEW_PASSWORD, "current_password"),
        (PASSWORD, "", "new_password"),
        (PASSWORD, "fourteen chars", "new_password"),
        (PASSWORD, "x" * 257, "new_password"),
        (PASSWORD, ["x" * 20], "new_password"),
    ],
)
async def test_bad_input_is_refused_without_an_echo(
    owner: Caller, cluster: Cluster, database: str, current: object, new: object, field: str
) -> None:
    """It is 422 and names the field; no password comes back, none is changed."""
    before = await cluster.rows(database, STORED, user=owner.user_id)
    answer = await change(owner, current, new)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
    assert answer.json()["errors"][0]["loc"] == ["body", field]
    assert PASSWORD not in answer.text
    assert await cluster.rows(database, STORED, user=owner.user_id) == before


async def test_nobody_changes_a_password_without_a_sign_in(client: AsyncClient) -> None:
    """Without an access token it is 401."""
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    assert (await client.post("/auth/password/change", json=body)).status_code == 401
