"""The rules of invitations."""

import datetime as dt
import uuid

from app.config import settings
from app.core.context import Context
from app.core.mails import post
from app.tenants.events import InvitationAccepted, InvitationRevoked, InvitationSent
from app.tenants.exceptions import AlreadyMemberError, InvitationRefusedError
from app.tenants.mails import InvitationLetter
from app.tenants.models import Invitation
from app.tenants.repository import InvitationRepository, MembershipRepository, TenantRepository
from app.tenants.schemas import InvitationCreate, InvitationResponse
from app.tenants.services.members import MemberService
from app.tenants.services.roles import RoleService
from app.tenants.utils import INVITATION_PREFIX, TenantToken, new_token
from app.utils.helpers import token_hash, utcnow
from app.utils.schemas import Page, PageQuery


class InvitationService:
    """Invite people to the selected tenant by mail; whether an address has an account makes no difference here."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.invitations = InvitationRepository(ctx.session)
        self.memberships = MembershipRepository(ctx.session)
        self.tenants = TenantRepository(ctx.session)
        self.roles = RoleService(ctx)

    async def send(self, data: InvitationCreate) -> Invitation:
        """Add an invitation; the event has it mailed. The token that its row begins with is known to nobody.

        Raises `AlreadyMemberError`, `AlreadyInvitedError`, `UnknownRoleError`, and `GrantRefusedError` for a role
        that permits what the caller does not hold. Raises `RateLimitedError` when the address was mailed too often.
        """
        await self.roles.refuse_grant(data.role)
        if await self.memberships.has_address(data.email):
            raise AlreadyMemberError
        if expired := await self.invitations.expired_to(data.email):
            await self._revoke(expired)
        await self.ctx.limits.take_mail("invite", data.email, self.ctx.address)
        tenant = await self.tenants.current()
        invitation = await self.invitations.add(
            Invitation(
                email=data.email,
                role=data.role,
                token_hash=token_hash(new_token(INVITATION_PREFIX, tenant.id)),
                invited_by=self.ctx.actor_id,
                expires_at=utcnow() + dt.timedelta(days=settings.tenants.invitation_days),
            )
        )
        after = {"email": data.email, "role": data.role}
        await self.ctx.emit(InvitationSent(object_id=invitation.id, after=after))
        return invitation

    async def mail(self, invitation_id: uuid.UUID) -> None:
        """Mail an invitation, if it is open still, with a new token; a mail before it is good no more.

        The token is committed before it is mailed, so that no lock waits for the mailer.
        """
        async with self.ctx.separate() as beside:
            invitation = await InvitationRepository(beside.session).find(invitation_id, locked=True)
            if invitation is None:
                return
            tenant = await TenantRepository(beside.session).current()
            token = new_token(INVITATION_PREFIX, tenant.id)
            invitation.token_hash = token_hash(token)
            beside.quiet("it was announced when it was sent")
        letter = InvitationLetter(tenant.name, invitation.role, settings.tenants.invitation_days, token)
        await post(self.ctx, invitation.email, letter)

    async def page(self, query: PageQuery) -> Page[InvitationResponse]:
        """Return the open invitations, oldest first."""
        return await self.invitations.page(query, self.invitations.select(), "created_at", InvitationResponse)

    async def revoke(self, invitation_id: uuid.UUID) -> None:
        """Take an open invitation back; raises `InvitationNotFoundError`."""
        await self._revoke(await self.invitations.get(invitation_id, locked=True))

    async def _revoke(self, invitation: Invitation) -> None:
        """Remove an invitation, and say so."""
        await self.ctx.session.delete(invitation)
        await self.ctx.session.flush()
        await self.ctx.emit(InvitationRevoked(object_id=invitation.id, before={"email": invitation.email}))

    async def find(self, token: TenantToken, *, locked: bool = False) -> Invitation:
        """Return the open invitation of a token; raises `InvitationRefusedError`, whatever is wrong with it."""
        found = await self.invitations.of_token(token.token_hash, locked=locked)
        if found is None or (await self.tenants.current()).status != "active":
            raise InvitationRefusedError
        return found

    async def accept(self, invitation: Invitation, user_id: uuid.UUID) -> None:
        """Make a person a member, and the invitation used up; raises `AlreadyMemberError`."""
        await self.ctx.session.delete(invitation)
        await MemberService(self.ctx).add(user_id, invitation.role)
        await self.ctx.emit(InvitationAccepted(object_id=invitation.id, after={"user_id": str(user_id)}))
