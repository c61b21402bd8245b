"""One real PostgreSQL for the run, one database a test worker, the application on it, and people to call it."""

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

# Before anything reads the settings: tests depend on nothing that is set in the shell that runs them.
for name in [name for name in os.environ if name.startswith("APP_")]:
    del os.environ[name]
os.environ |= {"APP_ENV": "testing", "APP_AUTH__SIGNING_KEYS": '["a key of the test suite, long enough to sign"]'}

# On a busy machine twenty at once wait longer than people should; what tests the limits sets its own.
os.environ |= {"APP_DATABASE__POOL_TIMEOUT": "15.0", "APP_DATABASE__LOCK_TIMEOUT": "10.0"}

import hypothesis
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from tests.loop import Loop
from tests.pooler import BEHIND_A_POOLER, Pooler

if BEHIND_A_POOLER:
    os.environ["APP_DATABASE__POOLER"] = "true"

from app.core.unit_of_work import UnitOfWork
from app.db import migrations
from app.embedded.postgres import Postgres
from app.embedded.valkey import Valkey
from app.main import create_app
from tests.support import TEMPLATE, Caller, Cluster, Team, found_team, register, settled
from tests.workers import choose

pytest_plugins = ["tests.figures"]
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "200"}
"""A test database need not survive a power cut."""


def pytest_configure(config: pytest.Config) -> None:
    """Start the engine and prepare the template once, in the process that has no parent."""
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    folder = Path(tempfile.mkdtemp(prefix="gp-"))
    folder.chmod(0o755)
    engine = Postgres(folder / "pg", options=FAST)
    config.add_cleanup(lambda: tear_down(engine, folder))
    engine.start(300)
    cluster = Cluster(engine.url("postgres", "postgres"))
    asyncio.run(migrations.prepare(cluster.admin_url, TEMPLATE, "app"))
    migrations.upgrade(cluster.url("app_migrator", TEMPLATE))
    os.environ["GROUNDPLAN_TEST_CLUSTER"] = cluster.admin_url
    if BEHIND_A_POOLER:
        pooler = Pooler(folder / "pooler", str(engine.socket))
        pooler.start()
        config.add_cleanup(pooler.stop)
        os.environ["GROUNDPLAN_TEST_POOLER_FOLDER"] = str(pooler.folder)


def tear_down(engine: Postgres, folder: Path) -> None:
    """Stop the engine and remove what it left."""
    engine.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, type[Loop]]]:
    """Run every test on the loop that production has, all on one."""
    return "asyncio", {"loop_factory": Loop}


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """Return the PostgreSQL of this run."""
    return Cluster(os.environ["GROUNDPLAN_TEST_CLUSTER"], os.environ.get("GROUNDPLAN_TEST_POOLER_FOLDER"))


@pytest.fixture(scope="session")
def database(cluster: Cluster) -> Iterator[str]:
    """Make this worker's own database, with all tables and no rows; yield its name."""
    name = f"gp_{uuid.uuid4().hex[:12]}"
    asyncio.run(cluster.clone(name))
    yield name
    asyncio.run(cluster.drop(name))


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """Start this worker's own Valkey, once a test asks for it; yield its address."""
    with tempfile.TemporaryDirectory(prefix="gp-") as folder:
        valkey = Valkey(Path(folder) / "valkey")
        valkey.start(300)
        yield valkey.url
        valkey.stop()


@pytest.fixture(scope="session")
async def application(cluster: Cluster, database: str) -> AsyncIterator[FastAPI]:
    """Start the application as it is shipped, on this worker's database."""
    app = create_app(url=cluster.url("app_rw", database))
    choose(app)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture(scope="session")
async def client(application: FastAPI) -> AsyncIterator[AsyncClient]:
    """Yield somebody who has not signed in."""
    transport = ASGITransport(application, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test/api/v1") as found:
        yield found


@pytest.fixture(scope="session")
def work(application: FastAPI) -> UnitOfWork:
    """Return what opens transactions, as the application's own gate does."""
    found: UnitOfWork = application.state.serving.gate.work
    return found


@pytest.fixture
def settle(cluster: Cluster, database: str) -> Callable[[], Awaitable[None]]:
    """Return what waits until nothing in the outbox is due or under way any more."""
    return partial(settled, cluster, database)


@pytest.fixture
async def owner(client: AsyncClient) -> Caller:
    """Register the owner of a new tenant, for tests that need nobody else: a tenth of a team's time."""
    return await register(client)


@pytest.fixture
async def team(client: AsyncClient, cluster: Cluster, database: str) -> Team:
    """Make a new tenant with an owner, an admin, a member and a viewer, and a stranger who owns another tenant."""
    return await found_team(client, cluster, database)
