"""HTTP of registering and signing in."""

from app.auth.permissions import access_control
from app.auth.schemas import LoginRequest, RefreshRequest, RegisterRequest, RegisterResponse, TokenResponse
from app.auth.services import RegistrationService, SessionService
from app.core.routing import Router, cbv
from app.utils.schemas import DefaultResponse

router = Router(prefix="/auth", tags=["auth"])


@cbv(router)
class AuthRoutes:
    """The way in and out."""

    registration: RegistrationService
    sessions: SessionService

    @router.post("/register", status_code=201)
    @access_control(open=True)
    async def register(self, data: RegisterRequest) -> RegisterResponse:
        """Register a person together with their first tenant."""
        return await self.registration.register(data)

    @router.post("/login")
    @access_control(open=True)
    async def login(self, data: LoginRequest) -> TokenResponse:
        """Sign in with e-mail address and password."""
        return await self.sessions.login(data)

    @router.post("/refresh")
    @access_control(open=True)
    async def refresh(self, data: RefreshRequest) -> TokenResponse:
        """Exchange a refresh token for a new pair of tokens."""
        return await self.sessions.refresh(data.refresh_token.get_secret_value())

    @router.post("/logout")
    @access_control(authenticated=True)
    async def logout(self) -> DefaultResponse:
        """End the session that the access token belongs to."""
        await self.sessions.logout()
        return DefaultResponse(msg="Signed out.")
