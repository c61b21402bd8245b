"""The statements by which the gate learns who calls and what they may do, one for each kind of caller."""

from typing import Any

from sqlalchemy import ColumnElement, LargeBinary, Row, Select, Uuid, and_, bindparam, func, or_, select

from app.auth.models import AuthSession
from app.core.permissions import built_in_roles
from app.tenants.models import ApiKey, Membership, Role, Tenant
from app.users.models import User

PERSON = (User.id, User.email, User.full_name, User.is_superuser)
PLACE = (
    Membership.role,
    Role.permissions.label("role_permissions"),
    Tenant.id.label("tenant_id"),
    Tenant.name.label("tenant_name"),
    Tenant.disabled_modules,
    Tenant.suspended_at,
    Tenant.deleted_at,
)
KEY = (
    ApiKey.id.label("key_id"),
    ApiKey.permissions.label("key_permissions"),
    ApiKey.service_account_id,
    ApiKey.created_by,
    ApiKey.last_used_at,
)
OWN_ROLE = and_(Role.tenant_id == Membership.tenant_id, Role.name == Membership.custom_role)
MINE = Membership.user_id == User.id


def read_session(place: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Return what reads session, person and place at once: nothing for an ended session or a disabled account."""
    return (
        select(*PERSON, *PLACE)
        .select_from(AuthSession)
        .join(User, User.id == AuthSession.user_id)
        .outerjoin(Membership, place)
        .outerjoin(Tenant, Tenant.id == Membership.tenant_id)
        .outerjoin(Role, OWN_ROLE)
        .where(
            AuthSession.id == bindparam("session_id"),
            AuthSession.user_id == bindparam("actor_id"),
            AuthSession.ended_at.is_(None),
            AuthSession.expires_at > func.now(),
            User.disabled_at.is_(None),
        )
        .order_by(Membership.created_at, Membership.id)
    )


def read_key() -> Select[*tuple[Any, ...]]:
    """Return what reads a key with its tenant, and the person it acts as, who must still be a member.

    Nothing for a key that is unknown, expired or revoked.
    """
    given = bindparam("key_hash", type_=LargeBinary())
    young_enough = or_(User.keys_valid_from.is_(None), ApiKey.created_at >= User.keys_valid_from)
    person = and_(ApiKey.service_account_id.is_(None), Membership.user_id == ApiKey.created_by)
    return (
        select(*KEY, *PERSON, *PLACE)
        .select_from(ApiKey)
        .join(Tenant, Tenant.id == ApiKey.tenant_id)
        .outerjoin(Membership, and_(Membership.tenant_id == ApiKey.tenant_id, person))
        .outerjoin(User, and_(MINE, User.disabled_at.is_(None), young_enough))
        .outerjoin(Role, OWN_ROLE)
        .where(
            or_(ApiKey.key_hash == given, and_(ApiKey.previous_hash == given, ApiKey.previous_until > func.now())),
            ApiKey.expires_at > func.now(),
            ApiKey.revoked_at.is_(None),
        )
    )


BY_SESSION_IN_TENANT = read_session(and_(MINE, Membership.tenant_id == bindparam("tenant_id", type_=Uuid())))
"""One row: the caller, and their place in the selected tenant, if any."""
BY_SESSION = read_session(MINE)
"""The caller, a row for each of their memberships; one row, with no place, where there are none."""
BY_KEY = read_key()
"""One row: the key, its tenant, and the person it acts as, unless it acts as a service account."""


class Rights:
    """Tells what a row permits; the built-in roles are read once."""

    def __init__(self) -> None:
        self.built_in = built_in_roles()

    def of_role(self, row: Row[Any]) -> frozenset[str]:
        """Return what the role of a row permits, built-in or the tenant's own; an unknown one permits nothing."""
        return self.built_in.get(row.role) or frozenset(row.role_permissions or ())

    def of_key(self, row: Row[Any]) -> frozenset[str]:
        """Return what a key permits: its own list, for one that acts as a person cut to what the person holds now."""
        held = frozenset(row.key_permissions)
        return held if row.service_account_id else held & self.of_role(row)
