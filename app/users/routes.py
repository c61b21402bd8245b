"""HTTP of people."""

from app.auth.permissions import access_control
from app.core.routing import Router, cbv
from app.users.schemas import MeResponse, MeUpdate
from app.users.services import AccountService

router = Router(prefix="/users", tags=["users"])


@cbv(router)
class UserRoutes:
    """The caller's own account."""

    account: AccountService

    @router.get("/me")
    @access_control(authenticated=True)
    async def me(self) -> MeResponse:
        """Show the caller, with their tenants and roles."""
        return await self.account.show()

    @router.patch("/me")
    @access_control(authenticated=True)
    async def update(self, data: MeUpdate) -> MeResponse:
        """Change the caller's name."""
        return await self.account.change(data)
