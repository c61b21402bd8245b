"""Who a request comes from: the client's address, which only proxies that are trusted may name."""

from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.utils.addresses import plain_address

PEER = "groundplan.peer"


class ClientAddressMiddleware:
    """Puts the client's address into `scope["client"]`, and its scheme into `scope["scheme"]`.

    Behind a proxy of `trusted` (addresses or networks) they are those of X-Forwarded-For and X-Forwarded-Proto: in
    the former the last address that is no trusted proxy's, as anything before it may be invented. From anybody else
    these headers mean nothing. What is no address is not taken for one. IPv4 inside IPv6 is written as IPv4.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self.app = app
        # Uvicorn spells the types of ASGI its own way.
        untyped: Any = self.serve
        self.named: Any = ProxyHeadersMiddleware(untyped, list(trusted))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request of whoever it is."""
        peer = scope.get("client")
        if scope["type"] == "lifespan" or not peer:
            await self.app(scope, receive, send)
            return
        plain = (plain_address(peer[0]) or peer[0], peer[1])
        scope["client"] = scope[PEER] = plain
        await self.named(scope, receive, send)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request once the headers are read."""
        host, port = scope["client"]
        address = plain_address(host)
        scope["client"] = (address, port) if address else scope[PEER]
        await self.app(scope, receive, send)
