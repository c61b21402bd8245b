"""HTTP of people."""

from app.auth.permissions import access_control
from app.core.context import Context
from app.core.routing import Router, cbv
from app.users.schemas import MeResponse

router = Router(prefix="/users", tags=["users"])


@cbv(router)
class UserRoutes:
    """The caller's own account."""

    commons: Context

    @router.get("/me")
    @access_control(authenticated=True)
    async def me(self) -> MeResponse:
        """Show the caller, with their tenants and roles."""
        return MeResponse.model_validate(self.commons.current_user)
