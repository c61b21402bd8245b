"""Two API processes and two workers are replaced one after the other, under load: nothing fails, nothing is lost.

`GROUNDPLAN_ROLLS=5 pytest tests/deployment` does it so many times.
"""

import asyncio
import os
import signal
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from httpx2 import AsyncClient, HTTPError, Limits
from redis import Redis

from app.embedded.valkey import Valkey
from tests.deployment.balancer import Balancer
from tests.deployment.processes import Process, environment, until
from tests.figures import Figure
from tests.support import Caller, Cluster, free_port, register, settled

ROLLS = int(os.environ.get("GROUNDPLAN_ROLLS", "1"))
NOTICE = 2.0
"""Seconds in which a process serves on after SIGTERM; the balancer looks every tenth of one."""
CLIENTS = 6

NOT_ONCE = """
    select p.id, count(n.id) from projects p
    left join notifications n on n.object_id = p.id and n.kind = 'project.created'
    group by 1 having count(n.id) <> 1
"""
ATTEMPTS = "select max(attempts), count(*) filter (where status <> 'finished') from outbox_entries"


@pytest.fixture
async def own_database(cluster: Cluster) -> AsyncIterator[str]:
    """Make a database that nothing else writes to."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(name)
    yield name
    await cluster.drop(name)


@contextmanager
def valkey(folder: Path) -> Iterator[Redis]:
    """Yield a connection to a Valkey that nothing else uses."""
    engine = Valkey(folder)
    engine.start()
    try:
        with Redis.from_url(engine.url) as connection:
            yield connection
    finally:
        engine.stop()


async def create_on(owner: Caller, stop: asyncio.Event, outcomes: Counter[str]) -> None:
    """Create one project after the other, none of them twice, and count what came of it."""
    while not stop.is_set():
        try:
            answer = await owner.call("POST", "/projects", json={"name": f"project {uuid.uuid4()}"})
            outcomes[str(answer.status_code)] += 1
        except HTTPError as error:
            outcomes[f"{error!r}"] += 1


async def replace_api(api: Process, port: int, balancer: Balancer) -> None:
    """Restart one, as a roll-out does; before it goes, the balancer has heard of it."""
    api.tell()
    await until(lambda: port not in balancer.ready)
    assert api.runs, api.log.read_text()
    assert await api.ended() == -signal.SIGTERM, api.log.read_text()
    api.start()
    await until(lambda: port in balancer.ready)


async def replace_worker(worker: Process, broker: Redis) -> None:
    """Restart one; it takes its leave of the broker."""
    worker.tell()
    assert await worker.ended() == 0, worker.log.read_text()
    assert broker.scard("rq:workers") == 1
    worker.start()
    await until(lambda: broker.scard("rq:workers") == 2)


async def test_a_rolling_restart_loses_nothing(
    cluster: Cluster, own_database: str, tmp_path: Path, figure: Figure
) -> None:
    """No request fails, each project is there, and each is told of once, at the first attempt."""
    ports = [free_port(), free_port()]
    with valkey(tmp_path / "valkey") as broker:
        url = f"unix://{broker.connection_pool.connection_kwargs['path']}"
        environ = environment(cluster, own_database, url, APP_SERVER__NOTICE_SECONDS=str(NOTICE))
        apis = [Process(tmp_path / "log", environ, "serve", "--port", str(port)) for port in ports]
        workers = [Process(tmp_path / "log", environ, "worker") for _ in range(2)]
        everything = [*apis, *workers, Process(tmp_path / "log", environ, "relay")]
        try:
            for process in everything:
                process.start()
            outcomes = await roll(Balancer(ports), dict(zip(ports, apis, strict=True)), workers, broker)
            await settled(cluster, own_database, 60)
        finally:
            for process in everything:
                process.kill()
    assert set(outcomes) == {"201"}, outcomes
    assert await cluster.rows(own_database, NOT_ONCE) == []
    ((projects,),) = await cluster.rows(own_database, "select count(*) from projects")
    ((attempts, unfinished),) = await cluster.rows(own_database, ATTEMPTS)
    figure(f"{ROLLS} rolling restarts of 2 API and 2 workers: {projects} creates, 0 failed, 0 lost, {attempts} attempt")
    assert projects == outcomes["201"] > 4 * CLIENTS
    assert unfinished == 0


async def roll(balancer: Balancer, apis: dict[int, Process], workers: list[Process], broker: Redis) -> Counter[str]:
    """Replace every process while people create projects; return what their requests came to."""
    outcomes: Counter[str] = Counter()
    async with balancer.listening() as port:
        await until(lambda: balancer.ready == set(apis) and broker.scard("rq:workers") == 2)
        base = f"http://127.0.0.1:{port}/api/v1"
        async with AsyncClient(base_url=base, timeout=30, limits=Limits(max_connections=CLIENTS)) as client:
            owner, stop = await register(client), asyncio.Event()
            load = [asyncio.create_task(create_on(owner, stop, outcomes)) for _ in range(CLIENTS)]
            for _ in range(ROLLS):
                for (api_port, api), worker in zip(apis.items(), workers, strict=True):
                    await replace_api(api, api_port, balancer)
                    await replace_worker(worker, broker)
            stop.set()
            await asyncio.gather(*load)
    return outcomes
