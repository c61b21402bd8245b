"""What may be declared of an operation's access, and what permissions and built-in roles are."""

from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class BuiltInRole(StrEnum):
    """The roles that every tenant has and nobody edits."""

    owner = "owner"
    admin = "admin"
    member = "member"
    viewer = "viewer"


OWNERS = frozenset({BuiltInRole.owner})
ADMINS = OWNERS | {BuiltInRole.admin}
MEMBERS = ADMINS | {BuiltInRole.member}
EVERYONE = MEMBERS | {BuiltInRole.viewer}

CATALOGUE: dict[str, "Permission"] = {}
"""Every permission of every package, by name."""

MODULES: set[str] = set()
"""Every module that a tenant can switch off: those that some operation asks for."""


class Permission(StrEnum):
    """Parent of a package's permissions: each member is a name, a description, and the built-in roles that hold it.

    A name looks like `projects.read`. Two packages that claim one name fail at import, with a TypeError.
    """

    description: str
    roles: frozenset[BuiltInRole]

    def __new__(cls, name: str, description: str, roles: Iterable[BuiltInRole]) -> Self:
        """Make the member and enter it in the catalogue."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.description, member.roles = description, frozenset(roles)
        if name in CATALOGUE:
            raise TypeError(f"permission {name} is declared by {type(CATALOGUE[name]).__name__} and {cls.__name__}")
        CATALOGUE[name] = member
        return member


@dataclass(frozen=True, eq=False)
class OneOf:
    """Makes a text one of a registry's names, in validation and in the document: both ask when they are needed.

    By then every package has entered its names.
    """

    registry: Collection[str]
    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the text, checked."""
        return core_schema.no_info_after_validator_function(self.known, handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, __: GetJsonSchemaHandler) -> dict[str, Any]:
        """Return every name there is."""
        return {"type": "string", "enum": sorted(self.registry)}

    def known(self, name: str) -> str:
        """Return a name of the registry; raise for any other text."""
        if name not in self.registry:
            raise PydanticCustomError("unknown_name", "There is no such {kind}", {"kind": self.kind})
        return name


PermissionName = Annotated[str, OneOf(CATALOGUE, "permission")]
ModuleName = Annotated[str, OneOf(MODULES, "module")]


def built_in_roles() -> dict[str, frozenset[str]]:
    """Return the permissions of each built-in role."""
    return {
        role.value: frozenset(name for name, member in CATALOGUE.items() if role in member.roles)
        for role in BuiltInRole
    }


Check = Callable[..., Awaitable[bool]]
"""A predicate about one object: given the Context and the path's parameters by name."""


@dataclass(frozen=True, slots=True)
class Access:
    """What an operation demands: exactly one of resource, superuser, authenticated and open."""

    resource: Permission | None = None
    module: str | None = None
    superuser: bool = False
    authenticated: bool = False
    open: bool = False
    check: Check | None = None

    def __post_init__(self) -> None:
        """Raise TypeError for a declaration that says nothing, two things, or a rule that cannot apply."""
        if self.resource is not None and not isinstance(self.resource, Permission):
            raise TypeError(f"access_control: {self.resource!r} is no member of a Permission enum")
        if sum(map(bool, (self.resource, self.superuser, self.authenticated, self.open))) != 1:
            raise TypeError("access_control: say exactly one of resource, superuser, authenticated, open")
        if (self.module or self.check) and not self.resource:
            raise TypeError("access_control: module and check go with a resource")
        if self.module:
            MODULES.add(self.module)

    @property
    def needs_tenant(self) -> bool:
        """Tell whether the operation is one of a tenant."""
        return self.resource is not None

    def __str__(self) -> str:
        """Return the form that OpenAPI carries in x-access."""
        named = {"superuser": self.superuser, "authenticated": self.authenticated, "open": self.open}
        return str(self.resource) if self.resource else next(name for name, on in named.items() if on)


def declared_access(endpoint: Callable[..., Any]) -> Access:
    """Return what `access_control` declared; raise TypeError with the operation's name when it declared nothing."""
    access = getattr(endpoint, "__access__", None)
    if not isinstance(access, Access):
        raise TypeError(f"{endpoint.__module__}.{endpoint.__qualname__} declares no access: add @access_control(...)")
    return access
