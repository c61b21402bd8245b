"""The rules of membership: who is in, in which role, and that an owner always remains."""

import uuid
from collections.abc import Sequence

from app.core.context import Context
from app.core.exceptions import TransactionConflictError
from app.core.permissions import BuiltInRole
from app.exceptions import ForbiddenError
from app.tenants.events import MemberAdded, MemberChanged, MemberRemoved, OwnershipTransferred
from app.tenants.exceptions import LastOwnerError, MemberNotFoundError, PersonNeededError
from app.tenants.models import Membership
from app.tenants.repository import ApiKeyRepository, InvitationRepository, MembershipRepository
from app.tenants.schemas import MemberResponse
from app.tenants.services.roles import RoleService
from app.utils.schemas import Page, PageQuery


class MemberService:
    """The people of the selected tenant."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.memberships = MembershipRepository(ctx.session)
        self.keys = ApiKeyRepository(ctx.session)
        self.invitations = InvitationRepository(ctx.session)
        self.roles = RoleService(ctx)

    async def page(self, query: PageQuery) -> Page[MemberResponse]:
        """Return the members, longest-standing first."""
        return await self.memberships.page(query, self.memberships.select(), "created_at", MemberResponse)

    async def user_ids(self) -> Sequence[uuid.UUID]:
        """Return who all the members are."""
        return await self.memberships.user_ids()

    async def address(self, user_id: uuid.UUID) -> str | None:
        """Return where a member reads mail; None for who left, is disabled, or never proved that the address is theirs.

        Otherwise whoever registers with a foreign address could have mails sent there.
        """
        return await self.memberships.address(user_id)

    async def add(self, user_id: uuid.UUID, role: str) -> Membership:
        """Make a person a member; raises `AlreadyMemberError`. Whether the caller may is for whoever calls this."""
        membership = await self.memberships.add(Membership(user_id=user_id, role=role))
        await self.ctx.emit(MemberAdded(object_id=user_id, after={"role": role}))
        return membership

    async def change(self, user_id: uuid.UUID, role: str) -> Membership:
        """Give a member another role, from their next request on.

        Raises `GrantRefusedError` unless the caller holds whatever the old and the new role permit, `UnknownRoleError`,
        `LastOwnerError` and `MemberNotFoundError`.
        """
        member = await self._lock(user_id)
        await self.roles.refuse_grant(member.role, role)
        before, member.role = member.role, role
        if before != role:
            await self._keep_an_owner()
            await self.ctx.emit(MemberChanged(object_id=user_id, before={"role": before}, after={"role": role}))
        return await self.memberships.of(user_id)

    async def remove(self, user_id: uuid.UUID) -> None:
        """Remove a member, the invitations they sent, and the keys that act as them; raises as `change` does."""
        member = await self._lock(user_id)
        await self.roles.refuse_grant(member.role)
        await self._take_out(member)

    async def leave(self) -> None:
        """Take the caller out; raises `LastOwnerError`, and `PersonNeededError` for a key."""
        self._refuse_keys()
        await self._take_out(await self._lock(self.ctx.actor_id))

    async def transfer(self, user_id: uuid.UUID) -> Membership:
        """Make a member an owner, and the caller an admin.

        Raises `ForbiddenError` for who is no owner, and `PersonNeededError` for a key.
        """
        self._refuse_keys()
        member, own = await self._lock(user_id), await self._lock(self.ctx.actor_id)
        if own.role != BuiltInRole.owner:
            raise ForbiddenError("Only an owner can hand over.")
        if member is not own:
            before, member.role, own.role = member.role, BuiltInRole.owner.value, BuiltInRole.admin.value
            await self.ctx.session.flush()
            after = {"role": member.role, "former_owner": str(own.user_id)}
            await self.ctx.emit(OwnershipTransferred(object_id=user_id, before={"role": before}, after=after))
        return await self.memberships.of(user_id)

    def _refuse_keys(self) -> None:
        """Raise `PersonNeededError` unless somebody signed in: a key shall not decide over its person's place."""
        if self.ctx.user is None or self.ctx.user.session_id is None:
            raise PersonNeededError

    async def _lock(self, user_id: uuid.UUID | None) -> Membership:
        """Return a membership locked together with the caller's own and every owner's.

        Raises `TransactionConflictError` when the caller's role changed since the gate read it, so that the request
        passes the gate again, with the new rights.
        """
        locked = await self.memberships.locked(user_id, self.ctx.actor_id)
        own = locked.get(self.ctx.actor_id) if self.ctx.actor_id else None
        if self.ctx.user is not None and (own is None or own.role != self.ctx.user.memberships[0].role):
            raise TransactionConflictError
        if user_id is None or user_id not in locked:
            raise MemberNotFoundError
        return locked[user_id]

    async def _take_out(self, member: Membership) -> None:
        """Delete a locked membership."""
        await self.ctx.session.delete(member)
        await self._keep_an_owner()
        await self.keys.revoke_personal(member.user_id)
        await self.invitations.remove_of(member.user_id)
        await self.ctx.emit(MemberRemoved(object_id=member.user_id, before={"role": member.role}))

    async def _keep_an_owner(self) -> None:
        """Write the change, and raise `LastOwnerError` when no owner is left; the rows are locked by now."""
        await self.ctx.session.flush()
        if not any(row.role == BuiltInRole.owner for row in (await self.memberships.locked()).values()):
            raise LastOwnerError
