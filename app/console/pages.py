"""The pages of our own: the sign-in, the start."""

import base64
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from app.auth.devices import user_agent
from app.auth.exceptions import WrongCredentialsError
from app.auth.schemas import LoginRequest
from app.auth.services.console import ConsoleSessionService
from app.auth.services.sessions import SessionService
from app.console.door import DASHBOARD, LOGIN, PLACE, SESSION, VISIT, Door, csrf_token, place, refuse_forgery
from app.exceptions import AppError, ForbiddenError

STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}"
    "label{display:block;margin:1rem 0}input{display:block;width:100%;box-sizing:border-box;font:inherit;padding:.4rem}"
    "button{font:inherit;padding:.4rem 1rem}.refused{color:#a00}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; img-src data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
HTML = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
SIGN_IN = """{refused}<form method="post" action="{action}">
<input type="hidden" name="csrf_token" value="{token}">
<label>E-mail address <input name="email" type="email" autocomplete="username" required autofocus></label>
<label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<button>Sign in</button>
</form>"""
START = """<p>Signed in as {email}.</p>
<ul>
{links}
</ul>
<form method="post" action="{action}">
<input type="hidden" name="csrf_token" value="{token}">
<button>Sign out</button>
</form>"""
LINK = '<li><a href="{path}">{name}</a></li>'
NO_BROKER = "<li>There is no broker (<code>broker.url</code> is empty), so there are no queues to show.</li>"
MOST_FIELDS = 10


class RefusedError(ForbiddenError):
    """The sign-in was refused: the address or the password is wrong, or this is no superuser's account."""

    code = "sign_in_refused"


class Pages:
    """The sign-in and what stands behind it. `links` are the paths that the start page leads to, by their names."""

    def __init__(self, door: Door, links: dict[str, str]) -> None:
        self.door, self.links = door, links

    async def start(self, request: Request) -> Response:
        """Answer the page that leads to all others."""
        async with self.door.enter(request) as context:
            email = context.current_user.email
        token = csrf_token(self.door.cookies.read(request, SESSION))
        links = [LINK.format(path=escape(place(request, path)), name=name) for name, path in self.links.items()]
        if DASHBOARD + "/" not in self.links.values():
            links.append(NO_BROKER)
        fields = {"email": escape(email), "token": token, "action": escape(place(request, f"{PLACE}/logout"))}
        return page("Console", START.format(links="\n".join(links), **fields))

    async def sign_in(self, request: Request) -> Response:
        """Answer the form; who is signed in is led on."""
        try:
            async with self.door.enter(request, active=False):
                return RedirectResponse(place(request, f"{PLACE}/"), 303)
        except (AppError, HTTPException):
            return self.form(request)

    async def login(self, request: Request) -> Response:
        """Sign in, and give the browser a session of a name that nobody knew before; or answer the form again."""
        try:
            cookie = await self.signed_in(request)
        except AppError as error:
            return self.form(request, error)
        response = RedirectResponse(place(request, f"{PLACE}/"), 303)
        self.door.cookies.sign_in(request, response, cookie)
        return response

    async def signed_in(self, request: Request) -> str:
        """Return what the cookie of a new session holds; refuses alike whoever may not."""
        form = await fields(request)
        refuse_forgery(self.door.cookies.read(request, VISIT), form.get("csrf_token", ""))
        try:
            data = LoginRequest(email=form.get("email", ""), password=form.get("password", ""))  # type: ignore[arg-type]
            async with self.door.begin(request) as context:
                password = data.password.get_secret_value()
                return await ConsoleSessionService(context).login(data.email, password, await user_agent(request))
        except (ValidationError, WrongCredentialsError):
            raise RefusedError from None

    async def logout(self, request: Request) -> Response:
        """End the session."""
        form = await fields(request)
        async with self.door.enter(request) as context:
            self.door.refuse_forgery(request, form.get("csrf_token", ""))
            await SessionService(context).logout()
        response = RedirectResponse(place(request, LOGIN), 303)
        self.door.cookies.sign_out(request, response)
        return response

    def form(self, request: Request, error: AppError | None = None) -> Response:
        """Return the sign-in page, with what was refused."""
        refused = f'<p class="refused" role="alert">{escape(error.detail)}</p>' if error else ""
        visit = self.door.cookies.read(request, VISIT) or secrets.token_urlsafe(32)
        body = SIGN_IN.format(refused=refused, action=escape(place(request, LOGIN)), token=csrf_token(visit))
        response = page("Sign in to the console", body, error)
        self.door.cookies.visit(response, visit)
        return response


def page(title: str, body: str, error: AppError | None = None) -> Response:
    """Return a whole page, with the status and the headers of what was refused."""
    headers = {**(error.headers if error else {}), "Content-Security-Policy": POLICY, "Cache-Control": "no-store"}
    return HTMLResponse(HTML.format(title=title, style=STYLE, body=body), error.status if error else 200, headers)


def leading(path: str) -> Callable[[Request], Awaitable[Response]]:
    """Return the view that leads to a path of ours."""

    async def lead(request: Request) -> Response:
        return RedirectResponse(place(request, path), 303)

    return lead


async def fields(request: Request) -> dict[str, str]:
    """Return the fields of a form, as browsers send one without files."""
    body = (await request.body()).decode("ascii", "replace")
    try:
        return dict(parse_qsl(body, keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        return {}
