"""Who is in the console: its cookies, its sign-in, and the tokens that prove where a change comes from."""

import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from app.auth.claims import Claim
from app.auth.services.console import ConsoleSessionService
from app.auth.tokens import read_console
from app.console.exceptions import ForgedRequestError, TokenNotAcceptedError
from app.core.context import Context
from app.core.unit_of_work import UnitOfWork
from app.exceptions import UnauthenticatedError

PLACE = "/console"
LOGIN = f"{PLACE}/login"
DASHBOARD = f"{PLACE}/rq"
SESSION, VISIT = "console", "console-visit"
SCRIPT_TOKEN = "_csrf_token"  # noqa: S105 - a name
"""The cookie from which the dashboard's scripts take the token for the header `X-CSRFToken`."""
SAFE_METHODS = frozenset({"GET", "HEAD"})


@dataclass(frozen=True, slots=True)
class Cookies:
    """The cookies of the console; `secure` ones go over https alone, and no other host of the domain can set them."""

    secure: bool

    def name(self, name: str) -> str:
        """Return a cookie's name as browsers know it."""
        return f"__Host-{name}" if self.secure else name

    def read(self, request: Request, name: str) -> str:
        """Return a cookie, empty where there is none."""
        return request.cookies.get(self.name(name), "")

    def sign_in(self, request: Request, response: Response, value: str) -> None:
        """Give the browser its session, and its scripts the token; the visit before it is over.

        `Lax`, so that a link in a mail leads to a page and not to the sign-in: pages that are got change nothing.
        """
        response.set_cookie(self.name(SESSION), value, secure=self.secure, httponly=True, samesite="lax")
        response.set_cookie(
            SCRIPT_TOKEN, csrf_token(value), path=place(request, DASHBOARD), secure=self.secure, samesite="strict"
        )
        response.delete_cookie(self.name(VISIT), secure=self.secure, httponly=True, samesite="strict")

    def sign_out(self, request: Request, response: Response) -> None:
        """Take from the browser what `sign_in` gave it."""
        response.delete_cookie(self.name(SESSION), secure=self.secure, httponly=True, samesite="lax")
        response.delete_cookie(SCRIPT_TOKEN, path=place(request, DASHBOARD), secure=self.secure, samesite="strict")

    def visit(self, response: Response, value: str) -> None:
        """Give a browser without a session what it is known by, to tie the sign-in page to it."""
        response.set_cookie(self.name(VISIT), value, secure=self.secure, httponly=True, samesite="strict")


def csrf_token(cookie: str) -> str:
    """Return the token that pages carry: who holds the cookie can compute it, nobody else."""
    return hmac.new(cookie.encode(), b"a change by a page of the console", hashlib.sha256).hexdigest()


def refuse_forgery(cookie: str, token: str) -> None:
    """Raise `ForgedRequestError` unless the token belongs to the cookie."""
    if not cookie or not hmac.compare_digest(csrf_token(cookie).encode(), token.encode()):
        raise ForgedRequestError


def place(request: Request, path: str) -> str:
    """Return a path of ours as the browser knows it, behind a proxy's prefix too."""
    root: str = request.scope.get("app_root_path", request.scope.get("root_path", ""))
    return root + path


class Door:
    """Lets superusers in, by the session that their cookie names; a change in the database counts at once."""

    def __init__(self, work: UnitOfWork, *, secure: bool) -> None:
        self.work, self.cookies = work, Cookies(secure)

    @asynccontextmanager
    async def begin(self, request: Request, *, read_only: bool = False) -> AsyncIterator[Context]:
        """Open the unit of work of a request."""
        claim: Claim = getattr(request.state, "caller", None) or Claim()
        async with self.work.begin(
            actor_id=claim.actor_id,
            request_id=request.state.request_id,
            address=request.client.host if request.client else "",
            read_only=read_only,
        ) as context:
            yield context

    @asynccontextmanager
    async def enter(self, request: Request, *, active: bool = True) -> AsyncIterator[Context]:
        """Open the unit of work of a superuser.

        Raises `TokenNotAcceptedError` for who brings credentials of the API, `RateLimitedError`, `ForbiddenError` for
        who is no superuser any more. Who is not signed in is led to the sign-in page, but a script: it gets
        `UnauthenticatedError`.
        """
        if "authorization" in request.headers:
            raise TokenNotAcceptedError
        try:
            claim = read_console(self.cookies.read(request, SESSION))
            request.state.caller = called = Claim(claim.user_id, claim.session_id)
            await self.work.limits.take_call(called)
            async with self.begin(request, read_only=not active) as context:
                yield await ConsoleSessionService(context).admit(claim, active=active)
        except UnauthenticatedError as error:
            raise to_sign_in(request) or error from None

    def refuse_forgery(self, request: Request, token: str) -> None:
        """Raise `ForgedRequestError` unless the token belongs to the request's session."""
        refuse_forgery(self.cookies.read(request, SESSION), token)


def to_sign_in(request: Request) -> HTTPException | None:
    """Return what leads a browser to the sign-in page, where a page was asked for."""
    if request.method not in SAFE_METHODS or "text/html" not in request.headers.get("accept", ""):
        return None
    return HTTPException(303, headers={"Location": place(request, LOGIN)})
