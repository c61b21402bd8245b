"""HTTP of accepting invitations."""

from app.auth.dependencies import SignedInAs
from app.auth.permissions import access_control
from app.auth.schemas import InvitationAccept, InvitationAccepted
from app.auth.services.invitations import AcceptanceService
from app.core.openapi import PROBLEM
from app.core.routing import Router, cbv

router = Router(prefix="/invitations", tags=["invitations"])


@cbv(router)
class InvitedRoutes:
    """What somebody does who was invited."""

    acceptance: AcceptanceService

    @router.post("/accept", responses={401: {"description": "A sign-in that is not good", "content": PROBLEM}})
    @access_control(open=True)
    async def accept(self, data: InvitationAccept, caller_id: SignedInAs) -> InvitationAccepted:
        """Accept an invitation with the token of its mail; who has no account yet makes one by it."""
        return await self.acceptance.accept(data, caller_id)
