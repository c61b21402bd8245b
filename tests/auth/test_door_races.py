"""When a sign-in ends, it ends: no request that begins after the answer is accepted, however many are on their way."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import jwt
import pytest
from httpx2 import AsyncClient, Response

from app.auth.services.sessions import SessionService
from app.core.unit_of_work import UnitOfWork
from tests.auth.mailbox import NEW_PASSWORD, Mailbox, forget, reset
from tests.support import PASSWORD, Caller, Cluster, sign_in

CROWD = 20


def bearer(token: str) -> dict[str, str]:
    """Return the header of an access token."""
    return {"Authorization": f"Bearer {token}"}


@dataclass(frozen=True)
class Scene:
    """Somebody whose token `victim` is used by a crowd, while another device of theirs is signed in."""

    owner: Caller
    victim: str
    mailbox: Mailbox
    cluster: Cluster
    database: str

    @property
    def client(self) -> AsyncClient:
        """Return what calls the application."""
        return self.owner.client


async def logout(scene: Scene) -> Response:
    """Sign the device out."""
    return await scene.client.post("/auth/logout", headers=bearer(scene.victim))


async def revoke(scene: Scene) -> Response:
    """End its session from the other device."""
    sid = jwt.decode(scene.victim, options={"verify_signature": False})["sid"]
    return await scene.client.delete(f"/auth/sessions/{sid}", headers=bearer(scene.owner.token))


async def revoke_others(scene: Scene) -> Response:
    """End all sessions but the other device's."""
    return await scene.client.delete("/auth/sessions", headers=bearer(scene.owner.token))


async def change(scene: Scene) -> Response:
    """Change the password on the other device."""
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return await scene.client.post("/auth/password/change", headers=bearer(scene.owner.token), json=body)


async def reset_password(scene: Scene) -> Response:
    """Set a new password by a link."""
    return await reset(scene.client, await forget(scene.client, scene.mailbox, scene.owner.email))


async def disable(scene: Scene) -> Response:
    """Disable the account."""
    query = "update users set disabled_at = now() where id = :id returning 1"
    await scene.cluster.rows(scene.database, query, id=scene.owner.user_id)
    return Response(200)


ENDS: list[Callable[[Scene], Awaitable[Response]]] = [logout, revoke, revoke_others, change, reset_password, disable]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
async def test_no_request_that_begins_later_is_accepted(
    end: Callable[[Scene], Awaitable[Response]], owner: Caller, mailbox: Mailbox, cluster: Cluster, database: str
) -> None:
    """Twenty go on asking while the session ends: who began after the 2xx is refused, who was in time was let in."""
    victim = (await sign_in(owner.client, owner.email))["access_token"]
    scene, over, busy = Scene(owner, victim, mailbox, cluster, database), asyncio.Event(), asyncio.Event()

    async def ask_on() -> list[tuple[bool, int]]:
        found: list[tuple[bool, int]] = []
        while not found or not found[-1][0]:
            late = over.is_set()
            answer = await owner.client.get("/users/me", headers=bearer(victim))
            found.append((late, answer.status_code))
            busy.set()
        return found

    crowd = [asyncio.ensure_future(ask_on()) for _ in range(CROWD)]
    await busy.wait()
    answer = await end(scene)
    over.set()
    assert answer.status_code == 200, answer.text
    found = [one for each in await asyncio.gather(*crowd) for one in each]
    assert {status for late, status in found if late} == {401}
    assert {status for late, status in found if not late} <= {200, 401}
    assert (False, 200) in found


async def test_a_sign_in_that_races_a_change_has_no_session_of_the_old_password(owner: Caller) -> None:
    """Ten sign in with the old password while it changes: not one of their sessions is left."""

    async def enter() -> str | None:
        body = {"email": owner.email, "password": PASSWORD}
        answer = await owner.client.post("/auth/login", json=body)
        assert answer.status_code in {200, 401}
        token: str | None = answer.json().get("access_token")
        return token

    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    changing = owner.client.post("/auth/password/change", headers=bearer(owner.token), json=body)
    answer, *tokens = await asyncio.gather(changing, *(enter() for _ in range(10)))
    assert isinstance(answer, Response)
    assert answer.status_code == 200, answer.text
    for token in filter(None, tokens):
        assert (await owner.client.get("/users/me", headers=bearer(str(token)))).status_code == 401
    (left,) = (await owner.client.get("/auth/sessions", headers=bearer(owner.token))).json()["items"]
    assert left["current"]


async def test_a_refresh_that_fails_half_way_loses_no_session(owner: Caller, work: UnitOfWork) -> None:
    """What was exchanged and not committed was not exchanged: the old token is good, and has one successor."""
    token = (await sign_in(owner.client, owner.email))["refresh_token"]

    async def refresh_and_fail() -> None:
        async with work.begin() as ctx:
            await SessionService(ctx).refresh(token)
            await ctx.session.flush()
            raise ConnectionError

    for _ in range(2):
        with pytest.raises(ConnectionError):
            await refresh_and_fail()
    answers = await asyncio.gather(
        *(owner.client.post("/auth/refresh", json={"refresh_token": token}) for _ in range(CROWD))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_a_refresh_that_races_the_end_is_no_way_back(owner: Caller) -> None:
    """Ten refresh while the session is signed out: no token that they got is accepted, and none refreshes."""
    tokens = await sign_in(owner.client, owner.email)
    refreshes = [owner.client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}) for _ in range(10)]
    out = owner.client.post("/auth/logout", headers=bearer(tokens["access_token"]))
    *answers, gone = await asyncio.gather(*refreshes, out)
    assert gone.status_code == 200
    for answer in (answer for answer in answers if answer.status_code == 200):
        assert (await owner.client.get("/users/me", headers=bearer(answer.json()["access_token"]))).status_code == 401
        body = {"refresh_token": answer.json()["refresh_token"]}
        assert (await owner.client.post("/auth/refresh", json=body)).status_code == 401
