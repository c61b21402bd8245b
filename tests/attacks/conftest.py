"""The installations that are attacked, one of each kind a worker, and the figures that are told at the end."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.config import load
from tests.attacks.site import Site, site_of
from tests.figures import PROPERTY
from tests.support import Cluster

Record = Callable[[str], None]


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Return what keeps a line for the end of the run; it travels with the report, from whichever worker."""
    return lambda line: request.node.user_properties.append((PROPERTY, f"attacks: {line}"))


@pytest.fixture(scope="package")
async def site(cluster: Cluster, broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Open two processes that limit nobody."""
    async with site_of(2, cluster, broker, tmp_path_factory.mktemp("mails"), {}) as (found, _):
        yield found


@pytest.fixture(scope="package")
async def unhurried(cluster: Cluster, broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Open a process that does what comes after an answer, mails above all, at the moments that production chooses."""
    production = {"MAIL__DELAY_SECONDS": "1.0", "TASKS__POLL_SECONDS": "1.0", "AUDIT__CHAIN_SECONDS": "1.0"}
    later = {f"APP_{name}": value for name, value in production.items()}
    async with site_of(1, cluster, broker, tmp_path_factory.mktemp("mails"), later) as (found, _):
        yield found


def production_limits() -> dict[str, str]:
    """Return the limits that production has, as environment variables."""
    production = {
        "APP_ENV": "production",
        "APP_DATABASE__URL": "postgresql+asyncpg://app_rw@host/name",
        "APP_AUTH__SIGNING_KEYS": '["Zq8mP2vKx7RtLw4YdNc9HbJf6GsUe3Ta"]',
        "APP_MAIL__FOLDER": "mails",
    }
    return {f"APP_LIMITS__{name.upper()}": rate for name, rate in load(environ=production).limits}


@pytest.fixture(scope="package")
async def guarded(cluster: Cluster, broker: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Open two processes with the limits of production, behind a proxy that names the clients' addresses.

    They wait two seconds for a request, where others wait ten and twenty.
    """
    patience = {"APP_SERVER__HEAD_SECONDS": "2.0", "APP_SERVER__BODY_SECONDS": "2.0"}
    environment = {**production_limits(), **patience, "APP_SERVER__TRUSTED_PROXIES": '["127.0.0.1"]'}
    async with site_of(2, cluster, broker, tmp_path_factory.mktemp("mails"), environment) as (found, _):
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder for mails of a test's own."""
    return tmp_path
