"""Many hands on one refresh token, and servers that die while they hold it."""

import asyncio
import os
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.embedded.ways import command_lines
from tests.attacks.conftest import Record
from tests.attacks.site import Servers, Site, site_of
from tests.attacks.wire import Answer, CutError, Wire
from tests.journey.test_two_tenants import parent
from tests.support import Cluster, sign_in

RACERS = 20
ROUNDS = int(os.environ.get("GROUNDPLAN_ATTACK_ROUNDS", "20"))
LIVING = """
    select count(*) from refresh_tokens as one join auth_sessions on auth_sessions.id = one.session_id
    where auth_sessions.user_id = :user and auth_sessions.ended_at is null and one.nonce is null
"""
KILLS = 2


async def refresh(door: Wire, token: str) -> Answer:
    """Exchange a refresh token."""
    return await door.call("POST", "/auth/refresh", body={"refresh_token": token})


async def me(door: Wire, token: str) -> int:
    """Return how the operation answers that needs a sign-in and no more."""
    return (await door.call("GET", "/users/me", token=token)).status


async def test_racers_leave_one_living_successor(site: Site, record: Record) -> None:
    """All get the same successor, which goes on; who comes with the old one after that ends the whole family."""
    owner = await site.register()
    await site.rows("update auth_sessions set ended_at = now() where user_id = :user returning 1", user=owner.user_id)
    for _ in range(ROUNDS):
        first = (await sign_in(site.client, owner.email))["refresh_token"]
        answers = await asyncio.gather(*(refresh(site.door(number), first) for number in range(RACERS)))
        assert {answer.status for answer in answers} == {200}
        (second,) = {answer.json["refresh_token"] for answer in answers}
        assert await site.value(LIVING, user=owner.user_id) == 1
        third = await refresh(site.door(1), second)
        assert third.status == 200
        assert await me(site.door(0), third.json["access_token"]) == 200
        replayed = await asyncio.gather(*(refresh(site.door(number), first) for number in range(2)))
        assert [answer.status for answer in replayed] == [401, 401]
        assert (await refresh(site.door(0), third.json["refresh_token"])).status == 401
        assert [await me(door, third.json["access_token"]) for door in site.doors] == [401, 401]
        assert await site.value(LIVING, user=owner.user_id) == 0
    record(
        f"refresh race {RACERS} racers x {ROUNDS}: {ROUNDS} families, 1 living successor each; "
        f"{ROUNDS} replays of the old token, {ROUNDS} families ended"
    )


class Family:
    """A session whose client refreshes without end, and repeats what was not answered."""

    def __init__(self, door: Wire, token: str) -> None:
        self.door, self.token = door, token
        self.done = self.cut = 0

    async def go_on(self, over: Callable[[], bool]) -> None:
        """Refresh until it is over."""
        while not over():
            await self.step()

    async def step(self) -> None:
        """Exchange the token, once there is an answer."""
        try:
            answer = await refresh(self.door, self.token)
        except (CutError, OSError):
            self.cut += 1
            await asyncio.sleep(0.01)
            return
        assert answer.status == 200, answer.body
        self.token = answer.json["refresh_token"]
        self.done += 1


def workers_of(servers: Servers) -> list[int]:
    """Return the processes that answer, under the one that only starts them."""
    (above,) = servers.processes
    lines = command_lines()
    return [pid for pid in lines if parent(pid) == above.pid and "spawn_main" in lines[pid]]


async def reached(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(120):
        while not condition():  # noqa: ASYNC110 - processes come and go without an event
            await asyncio.sleep(0.01)


async def test_kill_9_loses_no_session(cluster: Cluster, broker: str, folder: Path, record: Record) -> None:
    """Worker processes are killed while twenty refresh: each repeats what was cut off, and is signed in to the end."""
    async with site_of(1, cluster, broker, folder, {}, "--workers", "2") as (site, servers):
        owner = await site.register()
        door = site.door(0)
        tokens = [(await sign_in(site.client, owner.email))["refresh_token"] for _ in range(RACERS)]
        families = [Family(door, token) for token in tokens]
        over = asyncio.Event()
        runs = [asyncio.ensure_future(family.go_on(over.is_set)) for family in families]
        try:
            await kill_by_and_by(servers, families)
        finally:
            over.set()
        await asyncio.gather(*runs)
        for family in families:
            await family.step()
            assert await me(door, (await refresh(door, family.token)).json["access_token"]) == 200
        living = "select count(*) from auth_sessions where user_id = :user and ended_at is null"
        assert await site.value(living, user=owner.user_id) == RACERS + 1
        done, cut = sum(family.done for family in families), sum(family.cut for family in families)
        assert cut
        record(f"{KILLS} x kill -9 in {done} refreshes of {RACERS} sessions: {cut} cut off, 0 sessions lost")


async def kill_by_and_by(servers: Servers, families: list[Family]) -> None:
    """Kill one process after the other in the middle of refreshes, and wait for the next to take its place."""
    for _ in range(KILLS):
        await reached(lambda: len(workers_of(servers)) == 2)
        before = sum(family.done for family in families)
        await reached(partial(lambda least: sum(family.done for family in families) > least, before + RACERS))
        os.kill(workers_of(servers)[0], signal.SIGKILL)
