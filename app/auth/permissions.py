"""`access_control`: the declaration that every operation carries."""

from collections.abc import Callable
from typing import Any, TypeVar

from app.core.permissions import Access, Check, Permission

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


def access_control(
    resource: Permission | None = None,
    *,
    module: str | None = None,
    superuser: bool = False,
    open: bool = False,  # noqa: A002 - the seed's word
    authenticated: bool = False,
    check: Check | None = None,
) -> Callable[[Endpoint], Endpoint]:
    """Declare who may call an operation; the route class enforces it, before the body is parsed.

    Exactly one of: `resource`, a permission that the caller's role in the selected tenant must hold; `superuser`;
    `authenticated`, signed in, no tenant selected; `open`, anybody. With a resource, `module` asks that the tenant
    has the module switched on, and `check` is asked about the object that the path names. Raises TypeError, at
    import, for anything else and for a second declaration. It wraps nothing and stores nothing about a caller.
    """
    access = Access(resource, module, superuser, authenticated, open, check)

    def declare(endpoint: Endpoint) -> Endpoint:
        if hasattr(endpoint, "__access__"):
            raise TypeError(f"{endpoint.__module__}.{endpoint.__qualname__} declares its access twice")
        endpoint.__access__ = access  # type: ignore[attr-defined]
        return endpoint

    return declare
