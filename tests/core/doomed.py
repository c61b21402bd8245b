"""A server that kills itself: before the commit, in a view, or after it, with the first byte of an answer.

Run as `python -m tests.core.doomed DATABASE_URL`; it prints the port that it listens on.
"""

import os
import signal
import socket
import sys

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.context import Context
from app.main import create_app
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from app.routes import ROUTERS
from tests.core.trial import trial_router


def die() -> None:
    """End as kill -9 does."""
    os.kill(os.getpid(), signal.SIGKILL)


async def create_and_die(ctx: Context) -> None:
    """Create a project, and die before it is committed."""
    await ProjectService(ctx).create(ProjectCreate(name="lost"))
    die()


class Doomed:
    """Dies when a project was created and the answer is about to leave."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or die."""

        async def send_or_die(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 201:
                die()
            await send(message)

        await self.app(scope, receive, send_or_die)


if __name__ == "__main__":
    app = Doomed(create_app(url=sys.argv[1], routers=[*ROUTERS, trial_router(create_and_die)]))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.write(1, b"%d\n" % listening.getsockname()[1])
        uvicorn.Server(uvicorn.Config(app, log_config=None)).run(sockets=[listening])
