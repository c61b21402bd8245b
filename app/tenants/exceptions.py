"""What can go wrong with tenants and those who act in them."""

from app.exceptions import BadRequestError, ConflictError, ForbiddenError, NotFoundError, UnprocessableError


class AlreadyMemberError(ConflictError):
    """This person is a member already."""

    code = "already_member"
    constraint = "uq_memberships_tenant_id_user_id"


class AlreadyInvitedError(ConflictError):
    """This address has an invitation already. Revoke it to send another one."""

    code = "already_invited"
    constraint = "uq_invitations_tenant_id_email"


class RoleNameTakenError(ConflictError):
    """A role of this name exists already."""

    code = "role_name_taken"
    constraint = "uq_roles_tenant_id_name"


class RoleInUseError(ConflictError):
    """The role does not exist, or somebody still has it."""

    code = "role_in_use"
    constraint = "fk_memberships_tenant_id_custom_role"


class RoleUsedByInvitationError(RoleInUseError):
    """The role does not exist, or an invitation still offers it."""

    constraint = "fk_invitations_tenant_id_custom_role"


class ServiceAccountNameTakenError(ConflictError):
    """A service account of this name exists already."""

    code = "service_account_name_taken"
    constraint = "uq_service_accounts_tenant_id_name"


class LastOwnerError(ConflictError):
    """A tenant keeps at least one owner. Make somebody else an owner first."""

    code = "last_owner"


class GrantRefusedError(ForbiddenError):
    """Nobody grants or takes what they do not hold themselves."""

    code = "grant_refused"


class UnknownRoleError(UnprocessableError):
    """This tenant has no role of that name."""

    code = "unknown_role"


class MemberNotFoundError(NotFoundError):
    """Nobody of that id is a member of this tenant."""

    code = "member_not_found"


class RoleNotFoundError(NotFoundError):
    """This tenant has no such role of its own."""

    code = "role_not_found"


class InvitationNotFoundError(NotFoundError):
    """This tenant has no such invitation that is still open."""

    code = "invitation_not_found"


class InvitationRefusedError(BadRequestError):
    """The invitation is unknown, expired, revoked or used up. Ask for another one."""

    code = "invitation_refused"


class ServiceAccountNotFoundError(NotFoundError):
    """This tenant has no such service account."""

    code = "service_account_not_found"


class ApiKeyNotFoundError(NotFoundError):
    """This tenant has no such key."""

    code = "api_key_not_found"


class UnknownTenantError(NotFoundError):
    """There is no such tenant."""

    code = "unknown_tenant"


class PersonNeededError(ForbiddenError):
    """This needs a person who signed in: an API key does not decide over a place in the tenant."""

    code = "key_not_accepted"
