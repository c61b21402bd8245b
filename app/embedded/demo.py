"""The demo data of a bare machine: two tenants, people in every role, and what modules add to them."""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from pydantic import SecretStr
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker

from app.auth.services.registration import RegistrationService
from app.config import settings
from app.core.context import Context, CurrentUser
from app.core.permissions import BuiltInRole
from app.core.unit_of_work import UnitOfWork
from app.db.engine import create_engine
from app.db.session import Database
from app.hub import MessageHub
from app.modules.projects.schemas import ProjectCreate
from app.modules.projects.services import ProjectService
from app.tenants.models import Tenant
from app.tenants.services import MemberService, TenantService
from app.users.services import UserService

PASSWORD = "a quiet lake at dawn"  # noqa: S105 - printed for everybody who runs `app dev`
OLIVIA, ADAM, MIA, VICTOR, GWEN = (f"{name}@example.com" for name in ("olivia", "adam", "mia", "victor", "gwen"))
SUPERUSER = "sam@example.com"


@dataclass(frozen=True, slots=True)
class Place:
    """A tenant of the demo: its owner, and its other people."""

    name: str
    owner: str
    people: dict[str, BuiltInRole]


PLACES = (
    Place(
        "Acme",
        OLIVIA,
        {ADAM: BuiltInRole.admin, MIA: BuiltInRole.member, VICTOR: BuiltInRole.viewer},
    ),
    Place("Globex", GWEN, {OLIVIA: BuiltInRole.viewer, MIA: BuiltInRole.admin}),
)


@dataclass(frozen=True, slots=True)
class DemoAccess:
    """How to sign in to the demo, and the tenant to select."""

    email: str
    password: str
    tenant_id: str


async def seed(url: str) -> DemoAccess:
    """Make the demo data through the services, as people would; what is there already stays. Idempotent."""
    engine = create_engine(settings.database, url)
    work = UnitOfWork(async_sessionmaker(engine, class_=Database, expire_on_commit=False), MessageHub)
    try:
        people = {email: await ensure_person(work, email) for email in (OLIVIA, ADAM, MIA, VICTOR, GWEN, SUPERUSER)}
        tenants = [await ensure_place(work, place, people) for place in PLACES]
    finally:
        await engine.dispose()
    return DemoAccess(OLIVIA, PASSWORD, str(tenants[0]))


async def ensure_person(work: UnitOfWork, email: str) -> uuid.UUID:
    """Return who has the address; add them, as somebody who has verified it, when nobody has."""
    async with work.begin(read_only=True) as ctx:
        known = await UserService(ctx).find(email)
    if known is not None:
        return known.id
    async with work.begin() as ctx:
        name = email.partition("@")[0].capitalize()
        person = await RegistrationService(ctx).add_person(email, name, SecretStr(PASSWORD))
        await UserService(ctx).mark_verified(person.id)
        return person.id


async def ensure_place(work: UnitOfWork, place: Place, people: dict[str, uuid.UUID]) -> uuid.UUID:
    """Return the owner's tenant of that name; make it, with all that is in it, in one transaction when missing."""
    owner_id = people[place.owner]
    async with work.begin(actor_id=owner_id, read_only=True) as ctx:
        known: uuid.UUID | None = await ctx.session.scalar(select(Tenant.id).where(Tenant.name == place.name))
    if known is not None:
        return known
    async with work.begin(actor_id=owner_id) as ctx:
        tenant = await TenantService(ctx).create(place.name, owner_id)
        owner = CurrentUser(owner_id, place.owner, place.owner, is_superuser=False, session_id=owner_id)
        await fill(replace(ctx, tenant_id=tenant.id, user=owner), place, people)
    return tenant.id


async def fill(ctx: Context, place: Place, people: dict[str, uuid.UUID]) -> None:
    """Add the people of a place, and what modules add."""
    for email, role in place.people.items():
        await MemberService(ctx).add(people[email], role)
    for furnish in FURNISHINGS:
        await furnish(ctx, place)


async def add_projects(ctx: Context, place: Place) -> None:
    """Add a few projects to a place."""
    projects = {"Acme": ("Website", "Warehouse", "Annual report"), "Globex": ("Rocket",)}
    for name in projects[place.name]:
        await ProjectService(ctx).create(ProjectCreate(name=name, description=f"A project of {place.name}."))


FURNISHINGS: list[Callable[[Context, Place], Awaitable[None]]] = [
    add_projects,
]
"""What modules add to each place, one after the other."""
