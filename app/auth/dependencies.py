"""The gate: who is calling, for which tenant, and whether they may."""

import datetime as dt
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlalchemy import Row, update

from app.auth.callers import BY_KEY, BY_SESSION, BY_SESSION_IN_TENANT, Rights
from app.auth.claims import Claim, bearer_token, read_claim
from app.auth.denials import DENIALS, note_denial
from app.auth.exceptions import ModuleDisabledError, TenantDeletedError, TenantNotFoundError, TenantSuspendedError
from app.auth.tokens import read_access
from app.core.context import Context, CurrentUser, OwnMembership
from app.core.permissions import Access
from app.core.routing import CurrentContext
from app.core.unit_of_work import UnitOfWork
from app.exceptions import AppError, ForbiddenError, UnauthenticatedError
from app.extensions.logs import get_logger
from app.tenants.models import ApiKey
from app.tenants.permissions import TenantPermission
from app.utils.helpers import utcnow

Permissions = frozenset[str]

log = get_logger(__name__)

LAST_USE = dt.timedelta(minutes=5)
"""How exact `last_used_at` of a key is: a write at every request would cost more than it tells."""


class DatabaseGate:
    """Decides by what the database says in the request's own transaction: a change counts from the next request on."""

    def __init__(self, work: UnitOfWork) -> None:
        self.work, self.rights = work, Rights()

    def identify(self, request: Request, access: Access) -> Claim:
        """Read the headers; see `read_claim`."""
        return read_claim(request, access)

    @asynccontextmanager
    async def enter(self, request: Request, access: Access, claim: Claim, *, read_only: bool) -> AsyncIterator[Context]:
        """Begin the unit of work and yield the Context of a caller who may pass.

        Raises `UnauthenticatedError` for an ended session, a dead key or a disabled account, `TenantNotFoundError` for
        a stranger, and `ForbiddenError` and its children for who may not, or not now.
        """
        begun = self.work.begin(
            tenant_id=claim.tenant_id,
            actor_id=claim.actor_id,
            request_id=request.state.request_id,
            address=request.client.host if request.client else "",
            read_only=read_only,
        )
        caller: Context | None = None
        try:
            async with begun as context:
                if access.open:
                    yield context
                    return
                caller, row, permissions = await self.recognise(context, claim, access)
                yield admit(caller, access, row, permissions)
        except DENIALS as error:
            if caller is not None:
                await note_denial(caller, request, access, error)
            raise

    async def recognise(self, context: Context, claim: Claim, access: Access) -> tuple[Context, Row[Any], Permissions]:
        """Return the context with its caller, their place and what they hold there, or raise 401; one statement."""
        if claim.key_hash is not None:
            return await self.recognise_key(context, claim.key_hash)
        query = BY_SESSION_IN_TENANT if access.needs_tenant else BY_SESSION
        values = {"session_id": claim.session_id, "actor_id": claim.actor_id, "tenant_id": claim.tenant_id}
        rows = (await context.session.execute(query, values)).all()
        if not rows:
            raise UnauthenticatedError
        context = replace(context, user=current_user(rows, claim.session_id))
        return context, rows[0], self.rights.of_role(rows[0])

    async def recognise_key(self, context: Context, key_hash: bytes) -> tuple[Context, Row[Any], Permissions]:
        """Return the context with the service account or person that the key acts as."""
        row = (await context.session.execute(BY_KEY, {"key_hash": key_hash})).one_or_none()
        if row is None or (row.service_account_id is None and row.id is None):
            raise UnauthenticatedError
        if row.service_account_id:
            context = replace(context, actor_id=row.service_account_id, on_behalf_of=row.created_by)
        else:
            context = replace(context, actor_id=row.id, user=current_user([row], None))
        if row.last_used_at is None or row.last_used_at < utcnow() - LAST_USE:
            context.work.after_commit(partial(note_use, context, row.key_id))
        return context, row, self.rights.of_key(row)


def admit(context: Context, access: Access, row: Row[Any], permissions: Permissions) -> Context:
    """Return the context with its permissions, or refuse: by place, module, permission and the state of the tenant."""
    if access.superuser and not (context.user and context.user.is_superuser):
        raise ForbiddenError
    if not access.needs_tenant:
        return context
    if context.user is not None and row.role is None:
        raise TenantNotFoundError
    if access.module in row.disabled_modules:
        raise ModuleDisabledError
    if access.resource not in permissions:
        raise ForbiddenError
    if row.suspended_at is not None:
        raise TenantSuspendedError
    if row.deleted_at is not None and access.resource is not TenantPermission.delete:
        raise TenantDeletedError
    return replace(context, permissions=permissions)


def current_user(rows: Sequence[Row[Any]], session_id: uuid.UUID | None) -> CurrentUser:
    """Return the caller with the memberships that were read."""
    places = tuple(OwnMembership(row.tenant_id, row.tenant_name, row.role) for row in rows if row.role is not None)
    first = rows[0]
    return CurrentUser(first.id, first.email, first.full_name, first.is_superuser, session_id, places)


async def note_use(ctx: Context, key_id: uuid.UUID) -> None:
    """Remember when a key was used, as a request of it was carried out: if that fails, the next one tries again."""
    try:
        async with ctx.separate() as beside:
            beside.quiet("the use of a key is no change of the key")
            await beside.session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=utcnow()))
    except AppError as error:
        log.warning("use_of_key_not_noted", code=error.code)


async def signed_in_as(request: Request, context: CurrentContext) -> uuid.UUID | None:
    """Return who signs an open operation; None without a sign-in, `UnauthenticatedError` for one that is not good."""
    if "authorization" not in request.headers:
        return None
    claim = read_access(bearer_token(request))
    values = {"session_id": claim.session_id, "actor_id": claim.user_id}
    async with context.reader() as reader:
        found = (await reader.session.execute(BY_SESSION, values)).first()
    if found is None:
        raise UnauthenticatedError
    return claim.user_id


SignedInAs = Annotated[uuid.UUID | None, Depends(signed_in_as)]
