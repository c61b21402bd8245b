"""Pure ASGI middleware for what a browser must know of every answer, and for the hosts that are served.

The headers are those of OWASP's REST security cheat sheet and secure headers project. An operation that sets one of
them itself keeps its own.
"""

from collections.abc import Collection

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.exceptions import BadRequestError
from app.extensions.bodies import header_values
from app.extensions.problems import problem_response

HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
    (
        b"content-security-policy",
        b"default-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"accelerometer=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""What goes with every answer, also with those that the server gives before there is a request."""

METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
ALLOWED = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-Range",
    "Range",
    "X-Request-ID",
    "X-Tenant-ID",
)
EXPOSED = (
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
)


def headers_of(hsts_seconds: int) -> tuple[tuple[bytes, bytes], ...]:
    """Return the headers of every answer; with the seconds for which browsers insist on https, here and below."""
    https = (b"strict-transport-security", b"max-age=%d; includeSubDomains" % hsts_seconds)
    return (*HEADERS, https) if hsts_seconds else HEADERS


class SecurityHeaders:
    """Adds the headers; `hsts_seconds` tells browsers how long to insist on https, 0 tells them nothing."""

    def __init__(self, app: ASGIApp, *, hsts_seconds: int = 0) -> None:
        self.app = app
        self.headers = headers_of(hsts_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request; the headers go with the head of the answer."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = list(message.get("headers", ()))
                names = {name.lower() for name, _ in given}
                message = {**message, "headers": [*given, *(pair for pair in self.headers if pair[0] not in names)]}
            await send(message)

        await self.app(scope, receive, send_framed)


class AllowedHosts:
    """Refuses requests to another host than the named ones (400); a port counts only where the setting names one."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str]) -> None:
        self.app = app
        self.hosts = frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or answer with the refusal."""
        if scope["type"] == "http" and not self.serves(scope):
            refusal = BadRequestError("This host is not served here.")
            await problem_response(scope, refusal)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def serves(self, scope: Scope) -> bool:
        """Tell whether the one Host of a request is among the served ones."""
        values = header_values(scope, b"host")
        if len(values) != 1:
            return False
        host = values[0].decode("latin-1").lower()
        name, _, port = host.rpartition(":")
        return host in self.hosts or (port.isdigit() and name in self.hosts)


class CrossOrigin(CORSMiddleware):
    """Lets pages of the named origins call: exact ones, and never with cookies, which the API does not read."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=tuple(origins),
            allow_methods=METHODS,
            allow_headers=ALLOWED,
            expose_headers=EXPOSED,
            allow_credentials=False,
        )
