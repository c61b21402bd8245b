"""Creates under fire: API, worker and relay are killed (SIGKILL) in turn, and Valkey is flushed; then all is counted.

    python -m benchmarks.chaos --creates 2000

It prints one line, and ends with status 1 unless nothing was lost, done twice, invented, or told to another tenant.
"""

import argparse
import asyncio
import itertools
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import redis.asyncio
from httpx2 import AsyncClient, HTTPError, Limits

from benchmarks.installation import Installation, Person, installed

VICTIMS = ("api", "worker", "relay")
TENANTS = 3
SETTLING = 300.0
"""Seconds that everything has to settle after the last kill."""

COUNTS = """
    with told as (
        select n.tenant_id, n.object_id, n.user_id, count(*) as times
        from notifications n where n.kind = 'project.created' group by 1, 2, 3
    ), wanted as (
        select p.tenant_id, p.id as object_id, m.user_id from projects p join memberships m using (tenant_id)
    )
    select
        (select count(*) from wanted w left join told t using (tenant_id, object_id, user_id) where t.times is null),
        (select coalesce(sum(times - 1), 0) from told),
        (select count(*) from told t where not exists (select 1 from projects p where p.id = t.object_id)),
        (select count(*) from told t join projects p on p.id = t.object_id where p.tenant_id <> t.tenant_id)
          + (select count(*) from told t where not exists (
                select 1 from memberships m where m.tenant_id = t.tenant_id and m.user_id = t.user_id)),
        (select count(*) from projects p where not exists (
            select 1 from audit_entries a where a.tenant_id = p.tenant_id and a.object_id = p.id
              and a.action = 'project.created'))
          + (select count(*) from audit_entries a where a.action = 'project.created'
              and not exists (select 1 from projects p where p.tenant_id = a.tenant_id and p.id = a.object_id))
          + (select count(*) from audit_unchained)
"""
"""Lost, duplicated, phantom, cross-tenant, and the audit's gap; each notice is an effect of one delivery."""

DISPATCHES = """
    select sum(dispatches)::float / count(*),
        percentile_cont(0.5) within group (order by extract(epoch from finished_at - created_at)),
        percentile_cont(0.99) within group (order by extract(epoch from finished_at - created_at)),
        count(*) filter (where status <> 'finished')
    from outbox_entries where action = 'project.created'
"""


@dataclass
class Fire:
    """What was done to the installation."""

    kills: int = 0
    flushes: int = 0
    kept: list[tuple[uuid.UUID, str]] = field(default_factory=list)
    """Tenant and project of each 201."""


async def create(client: AsyncClient, people: list[Person], number: int, fire: Fire) -> None:
    """Create one project, and ask again with the same key until a 201 was heard; a token that ended is replaced."""
    key, place = {"Idempotency-Key": str(uuid.uuid4())}, number % len(people)
    while True:
        with suppress(HTTPError):
            person = people[place]
            answer = await client.post("/projects", json={"name": f"project {number}"}, headers=person.headers | key)
            if answer.status_code == 201:
                fire.kept.append((person.tenant_id, answer.json()["id"]))
                return
            if answer.status_code == 401 and people[place] is person:
                people[place] = await person.signed_in(client)
            elif answer.is_client_error and answer.status_code not in {401, 409, 429}:
                raise RuntimeError(f"answered {answer.status_code}: {answer.text}")
        await asyncio.sleep(0.1)


async def burn(place: Installation, fire: Fire, seconds: float, flushes: Sequence[int]) -> None:
    """Kill one process after the other, and flush Valkey after so many creates, until cancelled."""
    broker = redis.asyncio.Redis.from_url(place.record["broker_url"])
    for victim in itertools.cycle(VICTIMS):
        await asyncio.sleep(seconds)
        for pid in place.record["processes"][victim]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                fire.kills += 1
        if fire.flushes < len(flushes) and len(fire.kept) >= flushes[fire.flushes]:
            await broker.flushall()
            fire.flushes += 1


async def run(creates: int, concurrency: int, kill_seconds: float, flushes: int, dispatches: float) -> int:
    """Do it, print the line, and return the exit code."""
    async with installed() as place:
        base = f"{place.record['address']}/api/v1"
        limits = Limits(max_connections=concurrency + 2, max_keepalive_connections=concurrency)
        async with AsyncClient(base_url=base, timeout=20, limits=limits) as client:
            people = [await place.register(client) for _ in range(TENANTS)]
            await neighbours(place, people)
            fire, since = Fire(), time.monotonic()
            after = [creates * number // (flushes + 1) for number in range(1, flushes + 1)]
            burning = asyncio.create_task(burn(place, fire, kill_seconds, after))
            work = iter(range(creates))

            async def worker() -> None:
                for number in work:
                    await create(client, people, number, fire)

            await asyncio.gather(*(worker() for _ in range(concurrency)))
            while fire.flushes < flushes or fire.kills < len(VICTIMS):
                await asyncio.sleep(0.1)
            burning.cancel()
            took = time.monotonic() - since
        settled = await place.settled(SETTLING)
        return await judge(place, fire, took, settled=settled, most=dispatches)


async def neighbours(place: Installation, people: Sequence[Person]) -> None:
    """Make each person a member of the next one's tenant as well."""
    statement = """
        insert into memberships (tenant_id, id, user_id, role)
        values (:tenant, gen_random_uuid(), :person, 'viewer') returning 1
    """
    for person, other in zip(people, [*people[1:], people[0]], strict=True):
        await place.rows(statement, tenant=other.tenant_id, person=person.user_id)


async def judge(place: Installation, fire: Fire, took: float, *, settled: bool, most: float) -> int:
    """Count, print, and return 0 when all is as it must be."""
    ((lost, duplicated, phantom, crossed, gap),) = await place.rows(COUNTS)
    ((dispatches, p50, p99, unfinished),) = await place.rows(DISPATCHES)
    there = {(row.tenant_id, str(row.id)) for row in await place.rows("select tenant_id, id from projects")}
    lost += len(set(fire.kept) - there)
    phantom += len(there - set(fire.kept))
    verified = await asyncio.to_thread(verify, place)
    sys.stdout.write(
        f"{len(fire.kept)} creates in {took:.0f} s, {fire.kills} kills, {fire.flushes} flushes, "
        f"{unfinished} unfinished, settled {settled}, app audit verify {verified}\n"
        f"lost {lost}, duplicated {duplicated}, phantom {phantom}, cross-tenant {crossed}, "
        f"dispatches per event {dispatches:.2f}, p50 {p50:.2f} s, p99 {p99:.2f} s, audit gap {gap}\n"
    )
    good = settled and not (lost or duplicated or phantom or crossed or gap or unfinished or verified)
    return 0 if good and dispatches <= most else 1


def verify(place: Installation) -> int:
    """Return the exit code of `app audit verify`."""
    record = place.record
    environment = {
        **os.environ,
        "APP_DATABASE__URL": record["database_url"],
        "APP_AUDIT__ANCHOR": str(place.folder / "audit-anchor.json"),
    }
    command = [sys.executable, "-m", "app.cli", "audit", "verify"]
    return subprocess.run(command, env=environment, check=False, stdout=subprocess.DEVNULL).returncode


def main() -> int:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__.split("\n")[0])
    parser.add_argument("--creates", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--kill-seconds", type=float, default=2.0)
    parser.add_argument("--flushes", type=int, default=3)
    parser.add_argument("--dispatches", type=float, default=1.3, help="Most for each event, on the average.")
    given = parser.parse_args()
    return asyncio.run(run(given.creates, given.concurrency, given.kill_seconds, given.flushes, given.dispatches))


if __name__ == "__main__":
    raise SystemExit(main())
