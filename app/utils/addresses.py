"""The addresses that clients come from."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address


@lru_cache(maxsize=4096)
def parse_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a text is, or None; IPv4 inside IPv6 is IPv4."""
    try:
        found = ip_address(host)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def plain_address(host: str) -> str | None:
    """Return an address in its usual spelling, or None for what is none."""
    found = parse_address(host)
    return str(found) if found else None


def network_of(host: str) -> str:
    """Return what counts as one place: an IPv4 address, an IPv6 network of 64 bits, which one customer has."""
    found = parse_address(host)
    return f"{int(found) >> 64:x}/64" if isinstance(found, IPv6Address) else str(found or host)
