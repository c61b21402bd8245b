"""No secret is written down: neither in the log, nor in Valkey, the database or its server's log."""

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import settings
from app.extensions import logs
from app.main import create_app
from app.routes import ROUTERS
from app.sections import BrokerSettings
from tests.core.trial import trial_router
from tests.figures import Figure
from tests.secrets.hiding import finds, forms_of, keys_of, rows_of
from tests.secrets.walk import Walk, quoting
from tests.support import Cluster, serve, settled_of

KEPT: frozenset[str] = frozenset()
"""Finds that are right, as `finds` words them: there are none. (A mail holds its link; nobody keeps mails.)"""


@pytest.fixture
def log() -> Iterator[io.BytesIO]:
    """Hold every line of one test's log, whatever its level."""
    yield io.BytesIO()
    logs.configure(settings.log.level, settings.log.format)


async def test_no_secret_is_written_anywhere(cluster: Cluster, broker: str, log: io.BytesIO, figure: Figure) -> None:
    """After a run through every operation, well and badly, each secret is searched in each form in each place."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    secrets: dict[str, str] = {}
    config = settings.model_copy(update={"broker": BrokerSettings(url=broker)})
    routers = [*ROUTERS, trial_router(quoting(secrets))]
    app = create_app(config, url=cluster.url("app_rw", database), routers=routers)
    logs.configure("DEBUG", "json", log)
    async with serve(app, relay=True) as client:
        walk = Walk(app, client, secrets)
        await walk.go()
        await settled_of(app.state.serving.gate.work)
    for number, key in enumerate(settings.need("auth.signing_keys")):
        secrets[f"signing key {number}"] = key.get_secret_value()
    [folder] = await cluster.rows("postgres", "show data_directory")
    server_log = Path(folder[0]).with_name(f"{Path(folder[0]).name}.log").read_bytes()
    tables = {name: rows async for name, rows in rows_of(cluster.url("postgres", database))}
    places = {"the log": log.getvalue(), "Valkey": await keys_of(broker), "PostgreSQL's log": server_log, **tables}
    await cluster.drop(database)
    assert places["the log"].count(b'"event":"request"') >= walk.requests
    assert all(places[name] for name in ("Valkey", "PostgreSQL's log", "audit_entries", "idempotency_keys"))
    forms = sum(map(len, map(forms_of, secrets.values())))
    figure(
        f"{walk.requests} requests with {len(secrets)} secrets in {forms} forms;"
        f" searched: log {len(places['the log'])} bytes, Valkey {len(places['Valkey'])} bytes,"
        f" {len(tables)} tables {sum(map(len, tables.values()))} bytes, PostgreSQL's log {len(server_log)} bytes"
    )
    assert set(finds(secrets, places)) == KEPT


def test_the_search_finds_every_form() -> None:
    """The check can fail: whatever form a secret is written in, and whatever stands beside it."""
    secret = "a secret of Zoë/+ and nobody else"
    for form in forms_of(secret):
        assert list(finds({"it": secret}, {"here": b"before" + form + b"after"})) == ["it in here"]
    assert list(finds({"it": secret}, {"here": b"another secret of somebody"})) == []
