"""The rules of roles: what each permits, and that nobody grants what they do not hold."""

import uuid
from collections.abc import Iterable

from app.core.context import Context
from app.core.permissions import BuiltInRole, built_in_roles
from app.db.repository import changes
from app.tenants.events import RoleCreated, RoleDeleted, RoleUpdated
from app.tenants.exceptions import GrantRefusedError, RoleNameTakenError, UnknownRoleError
from app.tenants.models import Role
from app.tenants.repository import InvitationRepository, RoleRepository
from app.tenants.schemas import RoleCreate, RoleResponse, RoleUpdate
from app.utils.schemas import Page, PageQuery

MEANINGS = {
    BuiltInRole.owner: "May do everything, and is the only one who may delete the tenant.",
    BuiltInRole.admin: "Manages people, roles and keys, and all objects.",
    BuiltInRole.member: "Works: reads everything, changes what is their own.",
    BuiltInRole.viewer: "Reads.",
}


class RoleService:
    """The roles of the selected tenant: the built-in four, which nobody edits, and its own."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.roles = RoleRepository(ctx.session)
        self.invitations = InvitationRepository(ctx.session)

    async def page(self, query: PageQuery) -> Page[RoleResponse]:
        """Return the tenant's own roles by name; the first page begins with the built-in ones, beyond its limit."""
        page = await self.roles.page(query, self.roles.select(), "name", RoleResponse)
        return page if query.cursor else page.model_copy(update={"items": [*built_in(), *page.items]})

    async def create(self, data: RoleCreate) -> Role:
        """Add a role; raises `RoleNameTakenError`, and `GrantRefusedError` for a permission that the caller lacks."""
        if data.name in built_in_roles():
            raise RoleNameTakenError
        self.refuse_beyond(data.permissions)
        role = Role(name=data.name, description=data.description, permissions=sorted(set(data.permissions)))
        _, after = changes(role)
        await self.roles.add(role)
        await self.ctx.emit(RoleCreated(object_id=role.id, after=after))
        return role

    async def update(self, role_id: uuid.UUID, data: RoleUpdate) -> Role:
        """Change a role; raises `GrantRefusedError` for what is granted or taken beyond the caller's permissions."""
        role = await self.roles.get(role_id)
        if data.permissions is not None:
            self.refuse_beyond(set(data.permissions) ^ set(role.permissions))
            role.permissions = sorted(set(data.permissions))
        if data.description is not None:
            role.description = data.description
        before, after = changes(role)
        if after:
            await self.ctx.session.flush()
            await self.ctx.emit(RoleUpdated(object_id=role.id, before=before, after=after))
        return role

    async def delete(self, role_id: uuid.UUID) -> None:
        """Delete a role that nobody has; raises `RoleInUseError`, and `GrantRefusedError` as `update` does."""
        role = await self.roles.get(role_id)
        self.refuse_beyond(role.permissions)
        await self.invitations.remove_expired(role.name)
        await self.ctx.session.delete(role)
        await self.ctx.session.flush()
        await self.ctx.emit(RoleDeleted(object_id=role_id, before={"name": role.name, "permissions": role.permissions}))

    async def refuse_grant(self, *names: str) -> None:
        """Raise `GrantRefusedError` unless the caller holds whatever these roles permit; `UnknownRoleError`."""
        for name in names:
            self.refuse_beyond(await self.permissions_of(name))

    async def permissions_of(self, name: str) -> Iterable[str]:
        """Return what a role permits; raises `UnknownRoleError`."""
        if name in built_in_roles():
            return built_in_roles()[name]
        role = await self.roles.named(name)
        if role is None:
            raise UnknownRoleError
        return role.permissions

    def refuse_beyond(self, permissions: Iterable[str]) -> None:
        """Raise `GrantRefusedError` for a permission that the caller does not hold."""
        if not set(permissions) <= self.ctx.permissions:
            raise GrantRefusedError


def built_in() -> list[RoleResponse]:
    """Return the four roles that every tenant has."""
    held = built_in_roles()
    return [
        RoleResponse(id=None, name=role, description=meaning, permissions=sorted(held[role]), built_in=True)
        for role, meaning in MEANINGS.items()
    ]
