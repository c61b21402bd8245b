"""What has ended has ended: no request that began after the 2xx is accepted, on either process."""

import asyncio
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import cycle

import pytest

from tests.attacks.conftest import Record
from tests.attacks.site import Site
from tests.attacks.wire import Answer, Wire
from tests.support import PASSWORD, Caller, join, sign_in

RACERS = 20
ROUNDS = int(os.environ.get("GROUNDPLAN_ATTACK_ROUNDS", "10"))
"""For each kind of end; more take longer and find no less."""
Ask = Callable[[Wire], Awaitable[Answer]]
Seen = Counter[tuple[bool, int]]
"""How many answers of each status came, to requests that began after the end (True) and before it was known."""


async def hammer(site: Site, ask: Ask, end: Callable[[], Awaitable[Answer]]) -> Seen:
    """Let twenty ask on both processes while it ends, and once more after the 2xx."""
    over, busy, seen = asyncio.Event(), asyncio.Event(), Seen()

    async def ask_twice(door: Wire) -> None:
        for late in (False, True):
            if late:
                await over.wait()
            answer = await ask(door)
            assert answer.status < 400 or answer.is_refusal, answer.body
            seen[late, answer.status] += 1
            busy.set()

    crowd = [asyncio.ensure_future(ask_twice(site.door(number))) for number in range(RACERS)]
    await busy.wait()  # the others are on their way
    try:
        answer = await end()
        assert answer.status == 200, answer.body
    finally:
        over.set()
        await asyncio.gather(*crowd)
    return seen


@dataclass
class Scene:
    """The people of one attack, and how to begin and to end a round."""

    site: Site
    owner: Caller
    boss: Caller
    password: str = PASSWORD

    async def enter(self) -> str:
        """Sign the owner in on one more device, and return its token."""
        return str((await sign_in(self.site.client, self.owner.email, self.password))["access_token"])

    def me(self, token: str) -> Ask:
        """Return what asks for what any sign-in may see."""
        return lambda door: door.call("GET", "/users/me", token=token)


Round = Callable[[Scene, Wire], Awaitable[tuple[Ask, Callable[[], Awaitable[Answer]]]]]


async def logout(scene: Scene, door: Wire) -> tuple[Ask, Callable[[], Awaitable[Answer]]]:
    """Sign the device out."""
    token = await scene.enter()
    return scene.me(token), lambda: door.call("POST", "/auth/logout", token=token)


async def password(scene: Scene, door: Wire) -> tuple[Ask, Callable[[], Awaitable[Answer]]]:
    """Change the password on another device."""
    token, old = await scene.enter(), scene.password
    scene.password = f"{PASSWORD} again" if old == PASSWORD else PASSWORD
    body = {"current_password": old, "new_password": scene.password}
    return scene.me(token), lambda: door.call("POST", "/auth/password/change", token=scene.owner.token, body=body)


async def disable(scene: Scene, door: Wire) -> tuple[Ask, Callable[[], Awaitable[Answer]]]:
    """Disable the account."""
    path = f"/superuser/users/{scene.owner.user_id}"
    assert (await door.call("POST", f"{path}/enable", token=scene.boss.token)).status == 200
    token = await scene.enter()
    return scene.me(token), lambda: door.call("POST", f"{path}/disable", token=scene.boss.token)


async def removal(scene: Scene, door: Wire) -> tuple[Ask, Callable[[], Awaitable[Answer]]]:
    """Take a member out."""
    guest = await join(scene.site.cluster, scene.site.database, scene.boss, scene.owner.tenant_id, "member")
    path = f"/tenants/current/members/{guest.user_id}"

    def ask(at: Wire) -> Awaitable[Answer]:
        return at.call("GET", "/projects", token=guest.token, tenant=guest.tenant_id)

    return ask, lambda: door.call("DELETE", path, token=scene.owner.token, tenant=scene.owner.tenant_id)


async def revocation(scene: Scene, door: Wire) -> tuple[Ask, Callable[[], Awaitable[Answer]]]:
    """Revoke an API key."""
    path, who = "/tenants/current/api-keys", {"token": scene.owner.token, "tenant": scene.owner.tenant_id}
    made = await door.call("POST", path, body={"name": "key", "permissions": ["projects.read"]}, **who)  # type: ignore[arg-type]
    assert made.status == 201

    def ask(at: Wire) -> Awaitable[Answer]:
        return at.call("GET", "/projects", token=made.json["key"])

    return ask, lambda: door.call("DELETE", f"{path}/{made.json['id']}", **who)  # type: ignore[arg-type]


ENDS: dict[str, tuple[Round, int]] = {
    "logout": (logout, 401),
    "password change": (password, 401),
    "disable": (disable, 401),
    "member removal": (removal, 404),
    "key revocation": (revocation, 401),
}


@pytest.mark.parametrize("name", ENDS)
async def test_nothing_is_accepted_after_the_end(name: str, site: Site, record: Record) -> None:
    """Twenty go on asking on both processes: who began after the 2xx is refused, each time."""
    begin, refusal = ENDS[name]
    scene, seen = Scene(site, await site.register(), await site.superuser()), Seen()
    for number in range(ROUNDS):
        ask, end = await begin(scene, site.door(number))
        seen += await hammer(site, ask, end)
    assert {status for late, status in seen if late} == {refusal}, seen
    assert {status for late, status in seen if not late} <= {200, refusal}, seen
    assert seen[False, 200] >= ROUNDS
    assert seen[True, refusal] == RACERS * ROUNDS
    record(f"{name} {RACERS} racers x {ROUNDS}: {seen[True, refusal]} of {RACERS * ROUNDS} later requests refused")


async def test_a_new_role_is_the_only_one(site: Site, record: Record) -> None:
    """Down and up in turn: who began after the change is answered by the new role."""
    team = await site.team()
    owner, member = team.owner, team.member
    path = f"/tenants/current/members/{member.user_id}"
    told, late = cycle(["viewer", "member"]), 0
    for number in range(ROUNDS):
        role = next(told)

        def ask(door: Wire) -> Awaitable[Answer]:
            lines = [("If-Match", '"0"')]
            target = f"/projects/{owner.tenant_id}/restore"
            return door.call("POST", target, token=member.token, tenant=member.tenant_id, headers=lines)

        def end(role: str = role, number: int = number) -> Awaitable[Answer]:
            body = {"role": role}
            return site.door(number).call("PATCH", path, token=owner.token, tenant=owner.tenant_id, body=body)

        seen = await hammer(site, ask, end)
        # The project is nobody's: who may write finds none, who may not is not told.
        new, old = (403, 404) if role == "viewer" else (404, 403)
        assert {status for is_late, status in seen if is_late} == {new}, (role, seen)
        assert {status for is_late, status in seen if not is_late} <= {new, old}, (role, seen)
        assert seen[False, old], (role, seen)
        late += seen[True, new]
    assert late == RACERS * ROUNDS
    record(f"role change {RACERS} racers x {ROUNDS}: {late} of {RACERS * ROUNDS} later requests judged by the new role")
