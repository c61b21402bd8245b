"""Accepting invitations."""

import uuid

from app.auth.events import EmailVerified
from app.auth.exceptions import AccountNeededError, UnprovenAccountError
from app.auth.schemas import InvitationAccept, InvitationAccepted
from app.auth.services.registration import RegistrationService
from app.core.context import Context
from app.tenants.exceptions import InvitationRefusedError
from app.tenants.services import InvitationService
from app.tenants.utils import INVITATION_PREFIX, TenantToken, read_token
from app.users.models import User
from app.users.services import UserService


class AcceptanceService:
    """Let people in who were invited.

    Who brings the token has read the mail, and the place goes to the account of the address that was invited. But
    anybody may have registered with that address, and only have waited for it to be invited: an account whose address
    was never verified gets the place only when the same person is signed in to it.
    """

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.registration = RegistrationService(ctx)

    async def accept(self, data: InvitationAccept, caller_id: uuid.UUID | None) -> InvitationAccepted:
        """Make the invited person a member; an address without an account gets one, with the name and password given.

        Once. `caller_id` is who is signed in, if anybody. Raises `InvitationRefusedError` for a token that is unknown,
        expired, revoked or used up, `AccountNeededError` when there is no account and none can be made,
        `UnprovenAccountError`, and `AlreadyMemberError`.
        """
        token = read_token(INVITATION_PREFIX, data.token.get_secret_value())
        if token is None:
            raise InvitationRefusedError
        email, known = await self._look(token)
        if known is not None and known.disabled_at is not None:
            raise InvitationRefusedError
        if known is not None and known.email_verified_at is None and known.id != caller_id:
            raise UnprovenAccountError
        user = known or await self._add_person(email, data)
        inside = await self.ctx.enter(token.tenant_id, actor_id=user.id)
        if await UserService(inside).mark_verified(user.id):
            await inside.emit(EmailVerified(object_id=user.id))
        service = InvitationService(inside)
        invitation = await service.find(token, locked=True)
        await service.accept(invitation, user.id)
        return InvitationAccepted(tenant_id=token.tenant_id, user_id=user.id, role=invitation.role)

    async def _look(self, token: TenantToken) -> tuple[str, User | None]:
        """Return the invited address and whose it is, read in a transaction that holds nothing while we hash."""
        async with self.ctx.reader() as reader:
            inside = await reader.enter(token.tenant_id)
            email = (await InvitationService(inside).find(token)).email
            return email, await UserService(inside).find(email)

    async def _add_person(self, email: str, data: InvitationAccept) -> User:
        """Add the invited person."""
        if data.full_name is None or data.password is None:
            raise AccountNeededError
        return await self.registration.add_person(email, data.full_name, data.password)
