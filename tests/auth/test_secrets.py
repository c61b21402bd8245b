"""No password and no token in clear: neither in a row of any table, nor in a line of the log."""

import io
import uuid
from collections.abc import Iterator

import pytest
from httpx2 import AsyncClient

from app.config import settings
from app.db.base import Base
from app.extensions import logs
from app.main import create_app
from app.services import Services
from app.services.mailer import Mail
from tests.auth.mailbox import NEW_PASSWORD, Mailbox, forget, reset, verify
from tests.office import quick
from tests.support import PASSWORD, Cluster, register, serve, settled, sign_in

TABLES = sorted(Base.metadata.tables)
EVERYTHING = " union all ".join(
    f"select '{name}' as name, to_jsonb(one)::text as row from {name} one" for name in TABLES
)
WRONG, WEAK = "not the password of anybody", "passwordpassword"


class NoMailer:
    """Takes no mail."""

    async def send(self, mail: Mail) -> None:
        """Refuse a mail, and quote it."""
        raise OSError(f"nobody takes {mail.text}")


@pytest.fixture
def log() -> Iterator[io.BytesIO]:
    """Catch every line of one test's log."""
    stream = io.BytesIO()
    logs.configure("DEBUG", "json", stream)
    yield stream
    logs.configure(settings.log.level, settings.log.format)


async def walk(client: AsyncClient, mailbox: Mailbox) -> list[str]:
    """Go through the door in every way there is; return every secret that was on the way."""
    somebody = await register(client)
    tokens = await sign_in(client, somebody.email)
    form = {"grant_type": "password", "username": somebody.email, "password": PASSWORD}
    others = [(await client.post("/auth/token", data=form)).json()]
    others += [(await client.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})).json()]
    await client.post("/auth/login", json={"email": somebody.email, "password": WRONG})
    for current, new in ((WRONG, NEW_PASSWORD), (PASSWORD, WEAK), (PASSWORD, NEW_PASSWORD)):
        body = {"current_password": current, "new_password": new}
        await somebody.call("POST", "/auth/password/change", json=body)
    (verification,) = await mailbox.links(somebody.email, "verify-email")
    links = [verification, await forget(client, mailbox, somebody.email)]
    assert (await verify(client, verification)).status_code == 200
    assert [(await reset(client, links[1])).status_code for _ in range(2)] == [200, 400]
    pairs = [pair[name] for pair in (tokens, *others) for name in ("access_token", "refresh_token")]
    return [PASSWORD, NEW_PASSWORD, WRONG, WEAK, somebody.token, *links, *pairs]


async def test_neither_rows_nor_log_hold_a_secret(
    client: AsyncClient, cluster: Cluster, database: str, mailbox: Mailbox, log: io.BytesIO
) -> None:
    """Tables hold hashes, the log holds neither; nor do bytes of a table spell a token."""
    secrets = await walk(client, mailbox)
    rows = await cluster.rows(database, EVERYTHING)
    assert {row.name for row in rows} >= {"auth_links", "credentials", "refresh_tokens", "audit_entries"}
    stored, written = "\n".join(row.row for row in rows), log.getvalue().decode()
    assert written.count('"event":"request"') > 10
    forms = [form for secret in secrets for form in (secret, secret.encode().hex())]
    assert [form for form in forms if form in stored or form in written] == []


async def test_a_mail_that_nobody_takes_is_logged_without_its_link(cluster: Cluster, log: io.BytesIO) -> None:
    """Registering succeeds all the same; the lines and the dead letter say that it failed, and hide what is quoted."""
    database = f"gp_{uuid.uuid4().hex[:12]}"
    await cluster.clone(database)
    app = create_app(quick(), url=cluster.url("app_rw", database), services=Services(mailer=NoMailer()))
    # The application has set the log up for itself.
    logs.configure("DEBUG", "json", log)
    async with app.router.lifespan_context(app), serve(app) as client:
        await register(client)
        await settled(cluster, database)
    rows = await cluster.rows(database, "select name, status, attempts, error from outbox_entries")
    await cluster.drop(database)
    assert [tuple(row)[:3] for row in rows] == [("auth.mail_verification", "dead", 9)]
    assert "nobody takes" in rows[0].error
    assert "gpl_" not in rows[0].error
    written = log.getvalue().decode()
    assert written.count("run_failed") == 9
    assert "nobody takes" in written
    assert "gpl_" not in written
