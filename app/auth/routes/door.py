"""HTTP of registering, signing in, and what belongs to it."""

import uuid
from typing import Annotated, Any

from fastapi import Form, Query

from app.auth.devices import Agent
from app.auth.permissions import access_control
from app.auth.schemas import (
    LinkToken,
    LoginRequest,
    PasswordChange,
    PasswordForgotten,
    PasswordReset,
    RefreshRequest,
    RegisterRequest,
    RegisterResponse,
    SessionResponse,
    TokenForm,
    TokenResponse,
)
from app.auth.services.emails import EmailService
from app.auth.services.passwords import PasswordService
from app.auth.services.registration import RegistrationService
from app.auth.services.sessions import SessionService
from app.auth.tasks import a_moment, send_reset, send_verification
from app.core.context import Context
from app.core.openapi import PROBLEM
from app.core.routing import Router, cbv
from app.core.tasks import enqueue
from app.db.tenancy import SYSTEM_TENANT_ID
from app.utils.schemas import DefaultResponse, Page, PageQuery

REFUSED: dict[int | str, dict[str, Any]] = {401: {"description": "Wrong or outdated credentials", "content": PROBLEM}}

router = Router(prefix="/auth", tags=["auth"])


@cbv(router)
class AuthRoutes:
    """The way in and out."""

    registration: RegistrationService
    sessions: SessionService

    @router.post("/register", status_code=201)
    @access_control(open=True)
    async def register(self, data: RegisterRequest) -> RegisterResponse:
        """Register a person together with their first tenant, and mail them a link to verify the address."""
        return await self.registration.register(data)

    @router.post("/login", responses=REFUSED)
    @access_control(open=True)
    async def login(self, data: LoginRequest, agent: Agent) -> TokenResponse:
        """Sign in with e-mail address and password."""
        return await self.sessions.login(data.email, data.password.get_secret_value(), agent)

    @router.post("/token", responses=REFUSED)
    @access_control(open=True)
    async def token(self, data: Annotated[TokenForm, Form()], agent: Agent) -> TokenResponse:
        """Sign in as OAuth 2's password grant does, with a form; for the documentation's page and for such clients."""
        return await self.sessions.login(data.username, data.password.get_secret_value(), agent)

    @router.post("/refresh", responses=REFUSED)
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


@cbv(router)
class SessionRoutes:
    """The devices on which the caller is signed in."""

    sessions: SessionService

    @router.get("/sessions")
    @access_control(authenticated=True)
    async def list(self, query: Annotated[PageQuery, Query()]) -> Page[SessionResponse]:
        """List the caller's living sessions, newest first."""
        return await self.sessions.list(query)

    @router.delete("/sessions")
    @access_control(authenticated=True)
    async def end_others(self) -> DefaultResponse:
        """End all sessions of the caller but the one that asks."""
        return DefaultResponse(msg="Signed out everywhere else.", details={"ended": await self.sessions.end_others()})

    @router.delete("/sessions/{session_id}")
    @access_control(authenticated=True)
    async def end(self, session_id: uuid.UUID) -> DefaultResponse:
        """End one session of the caller, which may be the one that asks."""
        await self.sessions.end(session_id)
        return DefaultResponse(msg="The session has ended.")


@cbv(router)
class PasswordRoutes:
    """The caller's password, and the way back for who has forgotten it."""

    ctx: Context
    passwords: PasswordService

    @router.post("/password/change")
    @access_control(authenticated=True)
    async def change(self, data: PasswordChange) -> DefaultResponse:
        """Set a new password; every other session ends."""
        await self.passwords.change(data.current_password.get_secret_value(), data.new_password.get_secret_value())
        return DefaultResponse(msg="The password is changed.")

    @router.post("/password/forgot", status_code=202)
    @access_control(open=True)
    async def forgot(self, data: PasswordForgotten) -> DefaultResponse:
        """Mail a link that sets a new password, if there is such an account; the answer is the same if not."""
        await self.passwords.forget(data.email)
        inside = await self.ctx.enter(SYSTEM_TENANT_ID)
        await enqueue(inside, send_reset.but(delay=a_moment()), email=data.email)
        return DefaultResponse(msg="If there is such an account, a mail is on its way.")

    @router.post("/password/reset")
    @access_control(open=True)
    async def reset(self, data: PasswordReset) -> DefaultResponse:
        """Set a new password by the token of a mailed link; every session ends."""
        await self.passwords.reset(data.token.get_secret_value(), data.new_password.get_secret_value())
        return DefaultResponse(msg="The password is changed. Sign in with it.")


@cbv(router)
class EmailRoutes:
    """Proof of the caller's address."""

    ctx: Context
    emails: EmailService

    @router.post("/email/verify/send", status_code=202)
    @access_control(authenticated=True)
    async def send(self) -> DefaultResponse:
        """Mail the caller a new link, unless the address is verified already."""
        await self.emails.ask()
        inside = await self.ctx.enter(SYSTEM_TENANT_ID)
        await enqueue(inside, send_verification, user_id=self.ctx.current_user.id)
        return DefaultResponse(msg="Unless the address is verified already, a mail is on its way.")

    @router.post("/email/verify")
    @access_control(open=True)
    async def verify(self, data: LinkToken) -> DefaultResponse:
        """Verify an address by the token of the link that was mailed to it."""
        await self.emails.verify(data.token.get_secret_value())
        return DefaultResponse(msg="The address is verified.")
