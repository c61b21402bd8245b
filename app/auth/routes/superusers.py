"""HTTP of superusers: what they see and do across all tenants."""

import uuid
from typing import Annotated

from fastapi import Query

from app.auth.permissions import access_control
from app.auth.services.superusers import OversightService
from app.core.routing import Router, cbv
from app.tenants.schemas import TenantQuery, TenantResponse
from app.users.schemas import UserOverview, UserQuery
from app.utils.schemas import DefaultResponse, Page

router = Router(prefix="/superuser", tags=["superuser"])


@cbv(router)
class SuperuserRoutes:
    """All tenants and all people; every look is audited, and none shows what tenants work on."""

    oversight: OversightService

    @router.get("/tenants")
    @access_control(superuser=True)
    async def list_tenants(self, query: Annotated[TenantQuery, Query()]) -> Page[TenantResponse]:
        """List tenants, newest first; search by a part of the name."""
        return await self.oversight.tenants(query)

    @router.post("/tenants/{tenant_id}/suspend")
    @access_control(superuser=True)
    async def suspend(self, tenant_id: uuid.UUID) -> TenantResponse:
        """Let a tenant answer nobody, from the next request on."""
        return TenantResponse.model_validate(await self.oversight.suspend(tenant_id))

    @router.post("/tenants/{tenant_id}/resume")
    @access_control(superuser=True)
    async def resume(self, tenant_id: uuid.UUID) -> TenantResponse:
        """Let a suspended tenant go on."""
        return TenantResponse.model_validate(await self.oversight.resume(tenant_id))

    @router.get("/users")
    @access_control(superuser=True)
    async def list_users(self, query: Annotated[UserQuery, Query()]) -> Page[UserOverview]:
        """List people, newest first; search by a part of the address or of the name."""
        return await self.oversight.users(query)

    @router.post("/users/{user_id}/disable")
    @access_control(superuser=True)
    async def disable(self, user_id: uuid.UUID) -> DefaultResponse:
        """Refuse a person everywhere, from the next request on, and end their sessions."""
        await self.oversight.disable(user_id)
        return DefaultResponse(msg="The account was disabled.")

    @router.post("/users/{user_id}/enable")
    @access_control(superuser=True)
    async def enable(self, user_id: uuid.UUID) -> DefaultResponse:
        """Let a disabled person sign in again."""
        await self.oversight.enable(user_id)
        return DefaultResponse(msg="The account was enabled.")
