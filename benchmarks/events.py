"""What an event costs: from the commit to its effect, and beside a create without audit and outbox.

python -m benchmarks.events latency
python -m benchmarks.events writes
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
from httpx2 import AsyncClient

from app.config import settings
from app.core.context import Context
from app.core.events import ApplicationEvent, Event
from app.core.reactions import Hub
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.migrations import prepare, upgrade
from app.embedded.postgres import SUPERUSER, Postgres
from app.hub import MessageHub
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from app.processes import session_maker
from benchmarks.files import resident
from benchmarks.installation import Installation, Person, installed

ROUNDS = 7
WRITERS = 8
SECONDS = 3.0


class NoHub:
    """A hub that hears nothing: the same create without audit and outbox."""

    async def handle(self, ctx: Context, event: Event) -> None:
        """Do nothing."""

    async def track(self, ctx: Context, event: ApplicationEvent) -> None:
        """Do nothing."""


async def latency(events: int) -> None:
    """Print how long after a 201 the notice of it is there, one event after the other, on an idle system.

    Print, too, what memory each process holds, at the start and at the end.
    """
    async with installed() as place:
        begun = memory(place)
        base = f"{place.record['address']}/api/v1"
        eyes = await asyncpg.connect(place.record["admin_database_url"].replace("+asyncpg", ""))
        async with AsyncClient(base_url=base, timeout=20) as client:
            person = await place.register(client)
            taken = [await one(client, person, eyes) for _ in range(events + 20)][20:]
        await eyes.close()
        await report(place, sorted(taken))
        held = [f"{name} {begun[name]:.0f} to {size:.0f}" for name, size in memory(place).items()]
        sys.stdout.write(f"memory in MB: {', '.join(held)}\n")


def memory(place: Installation) -> dict[str, float]:
    """Return what each kind of process holds, in MB; where there are several, the largest."""
    return {name: max(resident(pid, "VmRSS") for pid in pids) for name, pids in place.record["processes"].items()}


async def one(client: AsyncClient, person: Person, eyes: "asyncpg.Connection[asyncpg.Record]") -> float:
    """Create a project, look for its notice without a pause, and return the milliseconds since the answer."""
    answer = await client.post("/projects", json={"name": f"{uuid.uuid4()}"}, headers=person.headers)
    since, project_id = time.perf_counter(), uuid.UUID(answer.raise_for_status().json()["id"])
    while not await eyes.fetchval("select 1 from notifications where object_id = $1", project_id):
        await asyncio.sleep(0.002)
    taken = (time.perf_counter() - since) * 1000
    await asyncio.sleep(0.03)
    return taken


async def report(place: Installation, taken: list[float]) -> None:
    """Print the line."""
    ((dispatches,),) = await place.rows("select avg(dispatches)::float from outbox_entries where status = 'finished'")
    sys.stdout.write(
        f"commit to effect, idle, {len(taken)} events: p50 {taken[len(taken) // 2]:.1f} ms, "
        f"p99 {taken[int(len(taken) * 0.99)]:.1f} ms, max {taken[-1]:.1f} ms, dispatches per event {dispatches:.2f}\n"
    )


@asynccontextmanager
async def database() -> AsyncIterator[Postgres]:
    """Start a PostgreSQL as it is shipped, with its schema, and nothing that works on it."""
    with tempfile.TemporaryDirectory(prefix="gpb-") as name:
        Path(name).chmod(0o711)
        postgres = Postgres(Path(name) / "postgres")
        await asyncio.to_thread(postgres.start)
        try:
            await prepare(postgres.url(SUPERUSER, "postgres"), "app", settings.database.role_prefix)
            await asyncio.to_thread(upgrade, postgres.url("app_migrator", "app"))
            yield postgres
        finally:
            await asyncio.to_thread(postgres.stop)


async def writes() -> None:
    """Print the write rate of a create with audit and outbox row, as a ratio to the same create without them."""
    async with database() as postgres:
        tenant_id, actor_id = await founder(postgres.url(SUPERUSER, "app"))
        engine = create_engine(settings.database, postgres.url("app_rw", "app"), WRITERS)
        sessions = session_maker(settings, engine, {})
        hubs: dict[str, Hub] = {"with": MessageHub, "without": NoHub()}
        ratios, rates = [], {name: [0.0] for name in hubs}
        for number in range(ROUNDS):
            order = list(hubs) if number % 2 else [*reversed(hubs)]
            rate = {name: await pace(UnitOfWork(sessions, hubs[name]), tenant_id, actor_id) for name in order}
            if number:  # the first round warms up
                ratios.append(rate["with"] / rate["without"])
                for name, value in rate.items():
                    rates[name].append(value)
        await engine.dispose()
    sys.stdout.write(
        f"creates a second, {WRITERS} writers, medians of {ROUNDS - 1} rounds: "
        f"without {statistics.median(rates['without'][1:]):.0f}, with audit and outbox row "
        f"{statistics.median(rates['with'][1:]):.0f}, ratio {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})\n"
    )


async def founder(url: str) -> tuple[uuid.UUID, uuid.UUID]:
    """Make a tenant and a person by SQL, and return their ids."""
    tenant_id, actor_id = uuid.uuid4(), uuid.uuid4()
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    await connection.execute("insert into tenants (id, name, version) values ($1, 'Some Where', 1)", tenant_id)
    person = "insert into users (id, email, full_name) values ($1, 'a@example.com', 'Some Body')"
    await connection.execute(person, actor_id)
    await connection.close()
    return tenant_id, actor_id


async def pace(work: UnitOfWork, tenant_id: uuid.UUID, actor_id: uuid.UUID) -> float:
    """Return how many creates a second are committed."""
    until, done = time.monotonic() + SECONDS, 0

    async def write() -> None:
        nonlocal done
        while time.monotonic() < until:
            async with work.begin(tenant_id=tenant_id, actor_id=actor_id) as ctx:
                await ProjectService(ctx).create(ProjectCreate(name=f"{uuid.uuid4()}"))
            done += 1

    since = time.monotonic()
    await asyncio.gather(*(write() for _ in range(WRITERS)))
    return done / (time.monotonic() - since)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description="What an event costs.")
    parser.add_argument("what", choices=["latency", "writes"])
    parser.add_argument("--events", type=int, default=500)
    given = parser.parse_args()
    asyncio.run(latency(given.events) if given.what == "latency" else writes())


if __name__ == "__main__":
    main()
