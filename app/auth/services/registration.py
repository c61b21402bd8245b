"""Registering."""

from dataclasses import replace

from pydantic import SecretStr

from app.auth.events import UserRegistered
from app.auth.models import Credential
from app.auth.passwords import passwords
from app.auth.policy import refuse_weak
from app.auth.schemas import RegisterRequest, RegisterResponse
from app.core.context import Context
from app.tenants.schemas import TenantResponse
from app.tenants.services import TenantService
from app.users.models import User
from app.users.schemas import UserResponse
from app.users.services import UserService


class RegistrationService:
    """Bring a new person in."""

    def __init__(self, ctx: Context) -> None:
        self.ctx = ctx
        self.users = UserService(ctx)
        self.tenants = TenantService(ctx)

    async def register(self, data: RegisterRequest) -> RegisterResponse:
        """Add a person, their password and their first tenant, all or nothing; the event has a link mailed to them.

        Raises `RateLimitedError` where an address asks for too many, `WeakPasswordError` and `EmailTakenError`.
        """
        await self.ctx.limits.take_mail("register", data.email, self.ctx.address)
        user = await self.add_person(data.email, data.full_name, data.password)
        tenant = await self.tenants.create(data.tenant_name, user.id)
        inside = replace(self.ctx, tenant_id=tenant.id, actor_id=user.id)
        await inside.emit(UserRegistered(object_id=user.id))
        return RegisterResponse(user=UserResponse.model_validate(user), tenant=TenantResponse.model_validate(tenant))

    async def add_person(self, email: str, full_name: str, password: SecretStr) -> User:
        """Add a person who can sign in; raises `WeakPasswordError` and `EmailTakenError`.

        The password is weighed and hashed before the first statement, so that no connection waits for it.
        """
        await refuse_weak(password.get_secret_value(), (email, full_name))
        hashed = await passwords.hash(password.get_secret_value())
        user = await self.users.create(email, full_name)
        self.ctx.session.add(Credential(user_id=user.id, password_hash=hashed))
        return user
