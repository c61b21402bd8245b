"""The gate: who is calling, for which tenant, and whether they may."""

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

from fastapi import Request
from sqlalchemy import ColumnElement, Row, Select, Uuid, and_, bindparam, func, select

from app.auth.exceptions import ModuleDisabledError, TenantHeaderError, TenantNotFoundError
from app.auth.models import AuthSession
from app.auth.tokens import read_access
from app.core.context import Context, CurrentUser, OwnMembership
from app.core.permissions import Access
from app.core.unit_of_work import UnitOfWork
from app.exceptions import ForbiddenError, UnauthenticatedError
from app.tenants.models import Membership, Tenant
from app.users.models import User
from app.utils.helpers import canonical_uuid


@dataclass(frozen=True, slots=True)
class Claim:
    """What the headers say, verified as far as the database is not needed; the log names who was refused by it."""

    actor_id: uuid.UUID | None = None
    session_id: uuid.UUID | None = None
    tenant_id: uuid.UUID | None = None


class DatabaseGate:
    """Decides by what the database says in the request's own transaction: a change counts from the next request on.

    `roles` maps a membership's role to its permissions; an unknown role holds none.
    """

    def __init__(self, work: UnitOfWork, roles: Mapping[str, frozenset[str]]) -> None:
        self.work, self.roles = work, roles

    def identify(self, request: Request, access: Access) -> Claim:
        """Read the headers: 401 without a valid access token, 400 without one canonical tenant where one is needed."""
        if access.open:
            return Claim()
        claim = read_access(bearer_token(request))
        tenant_id = selected_tenant(request) if access.needs_tenant else None
        return Claim(claim.user_id, claim.session_id, tenant_id)

    @asynccontextmanager
    async def enter(self, request: Request, access: Access, claim: Claim, *, read_only: bool) -> AsyncIterator[Context]:
        """Begin the unit of work and yield the Context of a caller who may pass.

        Raises `UnauthenticatedError` for an ended session or a disabled account, `TenantNotFoundError` for a stranger,
        `ModuleDisabledError`, and `ForbiddenError` without the permission.
        """
        async with self.work.begin(
            tenant_id=claim.tenant_id,
            actor_id=claim.actor_id,
            request_id=request.state.request_id,
            address=request.client.host if request.client else "",
            read_only=read_only,
        ) as context:
            yield context if access.open else await self.admit(context, access, claim)

    async def admit(self, context: Context, access: Access, claim: Claim) -> Context:
        """Return the context with its caller and permissions, or refuse; one statement."""
        query = CALLER_IN_TENANT if access.needs_tenant else CALLER
        rows = (await context.session.execute(query, asdict(claim))).all()
        if not rows:
            raise UnauthenticatedError
        user = current_user(rows, claim)
        context = replace(context, user=user)
        if access.superuser and not user.is_superuser:
            raise ForbiddenError
        return self.admit_member(context, access, rows[0]) if access.resource else context

    def admit_member(self, context: Context, access: Access, row: Row[Any]) -> Context:
        """Return the context with the permissions of the caller's role in the tenant, or refuse."""
        if row.role is None:
            raise TenantNotFoundError
        if access.module in row.disabled_modules:
            raise ModuleDisabledError
        permissions = self.roles.get(row.role, frozenset())
        if access.resource not in permissions:
            raise ForbiddenError
        return replace(context, permissions=permissions)


def bearer_token(request: Request) -> str:
    """Return the one bearer token (RFC 6750); raise `UnauthenticatedError` for none, two, or another scheme."""
    given = request.headers.getlist("authorization")
    scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError
    return token


def selected_tenant(request: Request) -> uuid.UUID:
    """Return the one tenant that X-Tenant-ID names; raise `TenantHeaderError` unless it is canonical."""
    given = request.headers.getlist("x-tenant-id")
    found = canonical_uuid(given[0]) if len(given) == 1 else None
    if found is None:
        raise TenantHeaderError
    return found


def read_caller(place: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Return what reads session, person and place at once: nothing for an ended session or a disabled account."""
    return (
        select(
            User.id,
            User.email,
            User.full_name,
            User.is_superuser,
            Membership.role,
            Tenant.id.label("tenant_id"),
            Tenant.name.label("tenant_name"),
            Tenant.disabled_modules,
        )
        .select_from(AuthSession)
        .join(User, User.id == AuthSession.user_id)
        .outerjoin(Membership, place)
        .outerjoin(Tenant, Tenant.id == Membership.tenant_id)
        .where(
            AuthSession.id == bindparam("session_id"),
            AuthSession.user_id == bindparam("actor_id"),
            AuthSession.ended_at.is_(None),
            AuthSession.expires_at > func.now(),
            User.disabled_at.is_(None),
        )
        .order_by(Membership.created_at, Membership.id)
    )


MINE = Membership.user_id == User.id
CALLER_IN_TENANT = read_caller(and_(MINE, Membership.tenant_id == bindparam("tenant_id", type_=Uuid())))
"""One row: the caller, and their place in the selected tenant, if any."""
CALLER = read_caller(MINE)
"""The caller, a row for each of their memberships; one row, with no place, where there are none."""


def current_user(rows: Sequence[Row[Any]], claim: Claim) -> CurrentUser:
    """Return the caller with the memberships that were read."""
    if claim.session_id is None:
        raise UnauthenticatedError
    places = tuple(OwnMembership(row.tenant_id, row.tenant_name, row.role) for row in rows if row.role is not None)
    first = rows[0]
    return CurrentUser(first.id, first.email, first.full_name, first.is_superuser, claim.session_id, places)
