"""The last seconds of a process: who sends it requests hears of the end before it comes."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import UnavailableError
from app.extensions.logs import get_logger

log = get_logger(__name__)


class LeavingError(UnavailableError):
    """This process is about to stop. Another one answers."""

    code = "leaving"


class Leaving:
    """Whether this process is about to stop.

    From SIGTERM on readiness says no and each answer closes its connection, while requests are served as before; only
    `seconds` later does the server hear of the signal, and drains. A second SIGTERM it hears at once.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.begun = False

    def check(self) -> None:
        """Raise `LeavingError` in the last seconds."""
        if self.begun:
            raise LeavingError

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Take the signal before the server does, while this is open; only in a main thread, and not for 0 seconds."""
        server = signal.getsignal(signal.SIGTERM)
        if not self.seconds or threading.current_thread() is not threading.main_thread() or not callable(server):
            yield
            return
        loop = asyncio.get_running_loop()

        def begin(number: int, frame: FrameType | None) -> None:
            if self.begun:
                server(number, frame)
                return
            self.begun = True
            loop.call_soon_threadsafe(loop.call_later, self.seconds, server, number, None)
            loop.call_soon_threadsafe(log.info, "leaving")

        signal.signal(signal.SIGTERM, begin)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, server)


class Farewell:
    """Closes, in the last seconds, each connection with its answer, so that clients look for another process."""

    def __init__(self, app: ASGIApp, *, leaving: Leaving) -> None:
        self.app = app
        self.leaving = leaving

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request."""

        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and self.leaving.begun:
                message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
            await send(message)

        await self.app(scope, receive, send_last)
