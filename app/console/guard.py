"""What stands before the dashboard: superusers alone, changes by POST with a token, and an audit of them."""

from http import HTTPStatus
from typing import TYPE_CHECKING, cast

from a2wsgi import WSGIMiddleware
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from app.console.door import SAFE_METHODS, Door
from app.console.events import ConsoleChanged
from app.console.exceptions import WithheldError
from app.console.rq import Dashboard, Kind
from app.exceptions import NotFoundError

if TYPE_CHECKING:
    from a2wsgi.wsgi_typing import WSGIApp

THREADS = 4
"""How many requests the dashboard answers at once in a process."""
LONGEST_PATH = 500
READ = frozenset({Kind.page, Kind.data, Kind.file})
PASSED = frozenset({b"host", b"accept"})
"""The headers that the dashboard sees: no cookie, no token."""


class Guard:
    """The dashboard, as far as a superuser may see and change it."""

    def __init__(self, door: Door, dashboard: Dashboard) -> None:
        self.door, self.dashboard = door, dashboard
        # A queue without a bound: a thread whose request was cancelled must not wait for somebody to empty it.
        self.wsgi = WSGIMiddleware(cast("WSGIApp", dashboard.flask.wsgi_app), workers=THREADS, send_queue_size=0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a superuser's.

        Whoever asks is known first (see `Door.enter`), so that nobody else learns which addresses there are. Then:
        404 for an unknown address, 405 for another method than the address has, `WithheldError` for what is not
        offered, `ForgedRequestError` for a change without its token. A change is audited before it is tried.
        """
        request = Request(scope, receive)
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        kind = self.dashboard.kind(path)
        async with self.door.enter(request, active=kind in (Kind.page, Kind.change)) as context:
            refuse_address(request, kind)
            if kind is Kind.change:
                self.door.refuse_forgery(request, request.headers.get("x-csrftoken", ""))
                await context.track(change(request))
        for message in await (self.changed(request) if kind is Kind.change else self.answer(scope)):
            await send(message)

    async def changed(self, request: Request) -> list[Message]:
        """Return the answer to a change, and note in the audit when it was none."""
        done = False
        try:
            answer = await self.answer(request.scope)
            done = answer[0]["status"] < HTTPStatus.BAD_REQUEST
            return answer
        finally:
            if not done:
                async with self.door.begin(request) as context:
                    await context.track(change(request, "failure"))

    async def answer(self, scope: Scope) -> list[Message]:
        """Return the whole answer of the dashboard, which none of its threads keeps for a slow client."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        headers = [pair for pair in scope["headers"] if pair[0] in PASSED]
        await self.wsgi({**scope, "headers": headers, "query_string": b""}, nothing, keep)  # type: ignore[arg-type]
        return messages

    def close(self) -> None:
        """Let the threads go, and the connections; one that still works needs the loop, so nobody waits for it."""
        self.wsgi.executor.shutdown(wait=False, cancel_futures=True)
        self.dashboard.close()


def refuse_address(request: Request, kind: Kind | None) -> None:
    """Raise what an address and a method deserve: 404, 405, `WithheldError`."""
    if kind in (None, Kind.replaced):
        raise NotFoundError
    allowed = SAFE_METHODS if kind in READ else frozenset({"POST"})
    if request.method not in allowed:
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(sorted(allowed))})
    if kind is Kind.withheld:
        raise WithheldError


def change(request: Request, outcome: str = "success") -> ConsoleChanged:
    """Return what the audit remembers of a change."""
    return ConsoleChanged(
        outcome=outcome, after={"method": request.method, "path": request.scope["path"][:LONGEST_PATH]}
    )


async def nothing() -> Message:
    """Return the body of a request: no address of the dashboard reads one."""
    return {"type": "http.request", "body": b"", "more_body": False}
