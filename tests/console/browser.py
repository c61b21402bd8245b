"""A browser without scripts: it keeps cookies, fills forms, and follows nothing by itself."""

import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient, Response

from app.config import Settings, settings
from tests.support import PASSWORD, Caller, Cluster

HTML = {"Accept": "text/html"}
FIELD = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


class Browser:
    """One browser on an application."""

    def __init__(self, client: AsyncClient) -> None:
        self.client = client

    async def open(self, path: str) -> Response:
        """Ask for a page."""
        return await self.client.get(path, headers=HTML)

    async def token(self, path: str = "/console/") -> str:
        """Return the token that the form of a page carries."""
        found = FIELD.search((await self.open(path)).text)
        assert found
        return found[1]

    async def sign_in(self, email: str, password: str = PASSWORD) -> Response:
        """Fill the form and send it."""
        token = await self.token("/console/login")
        return await self.submit("/console/login", email=email, password=password, csrf_token=token)

    async def submit(self, path: str, **fields: str) -> Response:
        """Send a form."""
        return await self.client.post(path, data=fields, headers=HTML)

    async def change(self, path: str, token: str | None = None) -> Response:
        """Do as the dashboard's script does, with the token of its cookie unless another is given."""
        if token is None:
            token = self.client.cookies.get("_csrf_token") or ""
        return await self.client.post(path, headers={"X-CSRFToken": token})


@asynccontextmanager
async def browser(app: FastAPI, root_path: str = "") -> AsyncIterator[Browser]:
    """Yield a browser that knows nobody yet; `root_path` is what a proxy puts before every path."""
    transport = ASGITransport(app, raise_app_exceptions=False, root_path=root_path)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield Browser(client)


def with_console(broker: str = "", **changes: object) -> Settings:
    """Return the settings with the console switched on."""
    server = settings.server.model_copy(update={"console": True})
    return settings.model_copy(
        update={"server": server, "broker": settings.broker.model_copy(update={"url": broker}), **changes}
    )


async def make_superuser(cluster: Cluster, database: str, user_id: uuid.UUID, *, really: bool = True) -> None:
    """Make somebody a superuser, or one no more."""
    await cluster.rows(
        database, "update users set is_superuser = :really where id = :id returning 1", really=really, id=user_id
    )


async def sessions_of(cluster: Cluster, database: str, caller: Caller) -> int:
    """Return how many sessions somebody has ever had."""
    found = await cluster.rows(database, "select count(*) from auth_sessions where user_id = :id", id=caller.user_id)
    count: int = found[0][0]
    return count
