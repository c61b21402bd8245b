"""What can go wrong with tenants."""

from app.exceptions import ConflictError


class AlreadyMemberError(ConflictError):
    """This person is a member already."""

    code = "already_member"
    constraint = "uq_memberships_tenant_id_user_id"
