"""The rules of tenants and of those who act in them."""

from app.tenants.services.directory import DirectoryService
from app.tenants.services.invitations import InvitationService
from app.tenants.services.keys import ApiKeyService, ServiceAccountService
from app.tenants.services.members import MemberService
from app.tenants.services.retention import RetentionService
from app.tenants.services.roles import RoleService
from app.tenants.services.tenants import CurrentTenantService, TenantService

__all__ = [
    "ApiKeyService",
    "CurrentTenantService",
    "DirectoryService",
    "InvitationService",
    "MemberService",
    "RetentionService",
    "RoleService",
    "ServiceAccountService",
    "TenantService",
]
