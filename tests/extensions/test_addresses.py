"""Whose address counts: the peer's, or what a trusted proxy says."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from app.extensions.addresses import ClientAddressMiddleware
from app.utils.addresses import network_of

PROXY, PUBLIC = "10.0.0.7", "203.0.113.9"
TRUSTED = ("10.0.0.0/8", "192.0.2.1", "2001:db8::1")


async def seen(peer: tuple[str, int] | None, *headers: tuple[str, str], trusted: tuple[str, ...] = TRUSTED) -> Scope:
    """Return the scope as the application sees it."""
    found: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    async def silence() -> Message:
        raise AssertionError

    async def unsaid(_: Message) -> None:
        raise AssertionError

    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    scope = {"type": "http", "scheme": "http", "client": peer, "headers": raw}
    await ClientAddressMiddleware(app, trusted)(scope, silence, unsaid)
    return found[0]


async def client(peer: str, *forwarded: str, trusted: tuple[str, ...] = TRUSTED) -> str:
    """Return the address that a request with these X-Forwarded-For comes from."""
    scope = await seen((peer, 1234), *(("X-Forwarded-For", value) for value in forwarded), trusted=trusted)
    host: str = scope["client"][0]
    return host


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ((PUBLIC,), PUBLIC),
        ((f"{PUBLIC}:4711",), PUBLIC),
        (("2001:db8:1::5",), "2001:db8:1::5"),
        (("[2001:DB8:1::5]:4711",), "2001:db8:1::5"),
        ((f"127.0.0.1, {PUBLIC}",), PUBLIC),
        ((f"invented, {PUBLIC}, 10.1.1.1",), PUBLIC),
        (("198.51.100.1", PUBLIC), PUBLIC),
        ((f"{PUBLIC}, 192.0.2.1",), PUBLIC),
        (("10.0.0.8, 10.0.0.9",), "10.0.0.8"),
        (("",), PROXY),
        (("garbage",), PROXY),
        ((f"{PUBLIC}, <script>",), PROXY),
        (("x" * 5000,), PROXY),
        ((",,,",), PROXY),
        (("::ffff:203.0.113.9",), PUBLIC),
    ],
)
async def test_a_trusted_proxy_is_believed(forwarded: tuple[str, ...], address: str) -> None:
    """The last address that is no proxy's counts; what is none leaves the proxy's own."""
    assert await client(PROXY, *forwarded) == address


@pytest.mark.parametrize("peer", [PUBLIC, "192.0.2.2", "::1", "127.0.0.1"])
async def test_nobody_else_is_believed(peer: str) -> None:
    """Whoever is not named as a proxy speaks for themselves alone, loopback included."""
    scope = await seen((peer, 1), ("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-Proto", "https"))
    assert scope["client"] == (peer, 1)
    assert scope["scheme"] == "http"


async def test_without_proxies_nothing_is_believed() -> None:
    """The default trusts nobody."""
    assert await client(PROXY, "198.51.100.1", trusted=()) == PROXY


async def test_the_scheme_comes_with_it() -> None:
    """A proxy that ends TLS says so."""
    scope = await seen((PROXY, 1), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", PUBLIC))
    assert (scope["scheme"], scope["client"][0]) == ("https", PUBLIC)


async def test_addresses_in_disguise() -> None:
    """IPv4 that comes over IPv6 is IPv4, as a client and as a proxy; a peer without an address stays without."""
    assert await client("::ffff:203.0.113.9") == PUBLIC
    assert await client("::ffff:10.0.0.7", PUBLIC) == PUBLIC
    assert await client("testclient") == "testclient"
    assert (await seen(None, ("X-Forwarded-For", PUBLIC)))["client"] is None


def test_what_is_one_place() -> None:
    """An IPv4 address is one; of IPv6 the 64 bits that one customer has."""
    assert network_of("203.0.113.9") != network_of("203.0.113.10")
    assert network_of("2001:db8:1:2::1") == network_of("2001:db8:1:2:ffff::9")
    assert network_of("2001:db8:1:2::1") != network_of("2001:db8:1:3::1")
    assert network_of("::ffff:203.0.113.9") == network_of("203.0.113.9")
    assert network_of("") == ""
