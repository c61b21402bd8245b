"""HTTP of tenants."""

from typing import Annotated

from fastapi import Query

from app.auth.permissions import access_control
from app.core.context import Context
from app.core.routing import Router, cbv
from app.tenants.permissions import TenantPermission
from app.tenants.schemas import MemberResponse, TenantCreate, TenantResponse
from app.tenants.services import MemberService, TenantService
from app.utils.schemas import Page, PageQuery

router = Router(prefix="/tenants", tags=["tenants"])


@cbv(router)
class TenantRoutes:
    """The caller's tenants; no tenant is selected here."""

    commons: Context
    tenants: TenantService

    @router.post("", status_code=201)
    @access_control(authenticated=True)
    async def create(self, data: TenantCreate) -> TenantResponse:
        """Create a tenant; the caller becomes its owner."""
        tenant = await self.tenants.create(data.name, self.commons.current_user.id)
        return TenantResponse.model_validate(tenant)

    @router.get("")
    @access_control(authenticated=True)
    async def list(self, query: Annotated[PageQuery, Query()]) -> Page[TenantResponse]:
        """List the tenants of which the caller is a member."""
        return await self.tenants.page(query)


@cbv(router)
class MemberRoutes:
    """The people of the selected tenant."""

    members: MemberService

    @router.get("/current/members")
    @access_control(TenantPermission.read_members)
    async def list(self, query: Annotated[PageQuery, Query()]) -> Page[MemberResponse]:
        """List who is a member, and in which role."""
        return await self.members.page(query)
