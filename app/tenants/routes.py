"""HTTP of tenants and of those who act in them."""

import uuid
from typing import Annotated

from fastapi import Query, Response

from app.auth.permissions import access_control
from app.core.context import Context
from app.core.dependencies import Expected
from app.core.preconditions import etag, with_etag
from app.core.routing import Router, cbv
from app.tenants.models import Tenant
from app.tenants.permissions import TenantPermission
from app.tenants.schemas import (
    ApiKeyCreate,
    ApiKeyResponse,
    ApiKeyRotate,
    ApiKeySecret,
    InvitationCreate,
    InvitationResponse,
    MemberResponse,
    MemberUpdate,
    RoleCreate,
    RoleResponse,
    RoleUpdate,
    ServiceAccountCreate,
    ServiceAccountResponse,
    TenantCreate,
    TenantResponse,
    TenantUpdate,
    TransferRequest,
)
from app.tenants.services import (
    ApiKeyService,
    CurrentTenantService,
    InvitationService,
    MemberService,
    RoleService,
    ServiceAccountService,
    TenantService,
)
from app.utils.schemas import DefaultResponse, Page, PageQuery

router = Router(prefix="/tenants", tags=["tenants"])

Paging = Annotated[PageQuery, Query()]


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
    async def list(self, query: Paging) -> Page[TenantResponse]:
        """List the tenants of which the caller is a member."""
        return await self.tenants.page(query)


@cbv(router)
class CurrentTenantRoutes:
    """The selected tenant itself."""

    tenant: CurrentTenantService
    members: MemberService

    @router.get("/current", responses=with_etag())
    @access_control(TenantPermission.read)
    async def get(self, response: Response) -> TenantResponse:
        """Show the tenant."""
        return show(await self.tenant.get(), response)

    @router.patch("/current", responses=with_etag())
    @access_control(TenantPermission.update)
    async def update(self, data: TenantUpdate, expected: Expected, response: Response) -> TenantResponse:
        """Rename the tenant, or switch modules on and off; with If-Match, only the version that was read."""
        return show(await self.tenant.update(data, expected), response)

    @router.delete("/current")
    @access_control(TenantPermission.delete)
    async def delete(self, expected: Expected) -> DefaultResponse:
        """Close the tenant for everybody; for a while it can be restored, then its rows are removed."""
        await self.tenant.delete(expected)
        return DefaultResponse(msg="The tenant was deleted. It can be restored for a while.")

    @router.post("/current/restore", responses=with_etag())
    @access_control(TenantPermission.delete)
    async def restore(self, response: Response) -> TenantResponse:
        """Open a deleted tenant again."""
        return show(await self.tenant.restore(), response)

    @router.post("/current/transfer")
    @access_control(TenantPermission.transfer)
    async def transfer(self, data: TransferRequest) -> MemberResponse:
        """Make a member an owner in the caller's place; the caller becomes an admin."""
        return MemberResponse.model_validate(await self.members.transfer(data.user_id))

    @router.post("/current/leave")
    @access_control(TenantPermission.read)
    async def leave(self) -> DefaultResponse:
        """Leave the tenant; its last owner cannot."""
        await self.members.leave()
        return DefaultResponse(msg="You have left the tenant.")


@cbv(router)
class MemberRoutes:
    """The people of the selected tenant."""

    members: MemberService

    @router.get("/current/members")
    @access_control(TenantPermission.read_members)
    async def list(self, query: Paging) -> Page[MemberResponse]:
        """List who is a member, and in which role."""
        return await self.members.page(query)

    @router.patch("/current/members/{user_id}")
    @access_control(TenantPermission.manage_members)
    async def update(self, user_id: uuid.UUID, data: MemberUpdate) -> MemberResponse:
        """Give a member another role."""
        return MemberResponse.model_validate(await self.members.change(user_id, data.role))

    @router.delete("/current/members/{user_id}")
    @access_control(TenantPermission.manage_members)
    async def remove(self, user_id: uuid.UUID) -> DefaultResponse:
        """Remove a member."""
        await self.members.remove(user_id)
        return DefaultResponse(msg="The member was removed.")


@cbv(router)
class InvitationRoutes:
    """The open invitations of the selected tenant."""

    invitations: InvitationService

    @router.post("/current/invitations", status_code=201)
    @access_control(TenantPermission.invite)
    async def send(self, data: InvitationCreate) -> InvitationResponse:
        """Invite somebody by mail."""
        return InvitationResponse.model_validate(await self.invitations.send(data))

    @router.get("/current/invitations")
    @access_control(TenantPermission.invite)
    async def list(self, query: Paging) -> Page[InvitationResponse]:
        """List the open invitations."""
        return await self.invitations.page(query)

    @router.delete("/current/invitations/{invitation_id}")
    @access_control(TenantPermission.invite)
    async def revoke(self, invitation_id: uuid.UUID) -> DefaultResponse:
        """Take an invitation back."""
        await self.invitations.revoke(invitation_id)
        return DefaultResponse(msg="The invitation was revoked.")


@cbv(router)
class RoleRoutes:
    """The roles of the selected tenant."""

    roles: RoleService

    @router.get("/current/roles")
    @access_control(TenantPermission.read_roles)
    async def list(self, query: Paging) -> Page[RoleResponse]:
        """List the tenant's own roles by name; the first page begins with the built-in ones, beyond its limit."""
        return await self.roles.page(query)

    @router.post("/current/roles", status_code=201)
    @access_control(TenantPermission.manage_roles)
    async def create(self, data: RoleCreate) -> RoleResponse:
        """Make a role of permissions that the caller holds."""
        return RoleResponse.model_validate(await self.roles.create(data))

    @router.patch("/current/roles/{role_id}")
    @access_control(TenantPermission.manage_roles)
    async def update(self, role_id: uuid.UUID, data: RoleUpdate) -> RoleResponse:
        """Change what a role permits."""
        return RoleResponse.model_validate(await self.roles.update(role_id, data))

    @router.delete("/current/roles/{role_id}")
    @access_control(TenantPermission.manage_roles)
    async def delete(self, role_id: uuid.UUID) -> DefaultResponse:
        """Delete a role that nobody has."""
        await self.roles.delete(role_id)
        return DefaultResponse(msg="The role was deleted.")


@cbv(router)
class ServiceAccountRoutes:
    """Programs that act in the selected tenant."""

    accounts: ServiceAccountService

    @router.post("/current/service-accounts", status_code=201)
    @access_control(TenantPermission.manage_keys)
    async def create(self, data: ServiceAccountCreate) -> ServiceAccountResponse:
        """Make a service account; it can do nothing until it has a key."""
        return ServiceAccountResponse.model_validate(await self.accounts.create(data))

    @router.get("/current/service-accounts")
    @access_control(TenantPermission.manage_keys)
    async def list(self, query: Paging) -> Page[ServiceAccountResponse]:
        """List the service accounts."""
        return await self.accounts.page(query)

    @router.delete("/current/service-accounts/{account_id}")
    @access_control(TenantPermission.manage_keys)
    async def delete(self, account_id: uuid.UUID) -> DefaultResponse:
        """Delete a service account, and its keys with it."""
        await self.accounts.delete(account_id)
        return DefaultResponse(msg="The service account was deleted.")


@cbv(router)
class ApiKeyRoutes:
    """The API keys of the selected tenant."""

    keys: ApiKeyService

    @router.post("/current/api-keys", status_code=201)
    @access_control(TenantPermission.manage_keys)
    async def create(self, data: ApiKeyCreate) -> ApiKeySecret:
        """Make a key; its secret is shown this once."""
        return await self.keys.create(data)

    @router.get("/current/api-keys")
    @access_control(TenantPermission.manage_keys)
    async def list(self, query: Paging) -> Page[ApiKeyResponse]:
        """List the keys, without their secrets."""
        return await self.keys.page(query)

    @router.post("/current/api-keys/{key_id}/rotate")
    @access_control(TenantPermission.manage_keys)
    async def rotate(self, key_id: uuid.UUID, data: ApiKeyRotate) -> ApiKeySecret:
        """Give a key a new secret; the old one is refused at once, or after an overlap."""
        return await self.keys.rotate(key_id, data)

    @router.delete("/current/api-keys/{key_id}")
    @access_control(TenantPermission.manage_keys)
    async def revoke(self, key_id: uuid.UUID) -> DefaultResponse:
        """Revoke a key: it is refused from the next request on."""
        await self.keys.revoke(key_id)
        return DefaultResponse(msg="The key was revoked.")


def show(tenant: Tenant, response: Response) -> TenantResponse:
    """Return the tenant as the API shows it, its version in the ETag."""
    response.headers["ETag"] = etag(tenant.version)
    return TenantResponse.model_validate(tenant)
