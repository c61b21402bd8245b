"""Refused attempts, written into the audit although they are refused."""

import uuid
from dataclasses import replace

from fastapi import Request

from app.auth.exceptions import TenantNotFoundError
from app.core.context import Context
from app.core.events import AccessDenied
from app.core.permissions import Access
from app.db.tenancy import SYSTEM_TENANT_ID
from app.exceptions import AppError, ForbiddenError
from app.extensions.logs import get_logger
from app.utils.helpers import canonical_uuid

DENIALS = (ForbiddenError, TenantNotFoundError)
"""The refusals that are about who asks."""

log = get_logger(__name__)


async def note_denial(ctx: Context, request: Request, access: Access, error: AppError) -> None:
    """Leave a row about a refused attempt of a known caller, in a transaction of its own.

    It stands in the audit of the tenant that was selected; of somebody who does not belong to that tenant in the
    system tenant's, or strangers could fill an audit that is not theirs. One actor gets `limits.denied` rows a minute.

    The refusal is the answer whatever happens here: a row that cannot be written is logged, with all that it would
    have said, and the caller is refused all the same.
    """
    if ctx.actor_id is None or not await ctx.limits.may_note_denial(ctx.actor_id):
        return
    operation = request.scope["route"].unique_id
    event = AccessDenied(
        object_id=object_of(request),
        after={"operation": operation, "permission": str(access), "code": error.code, "tenant_id": ctx.tenant_id},
    )
    if isinstance(error, TenantNotFoundError):
        ctx = replace(ctx, tenant_id=SYSTEM_TENANT_ID)
    try:
        await ctx.track(event)
    except Exception:  # the database may be away, or busy: the refusal stands
        log.exception("denial_not_audited", actor=ctx.actor_id, **(event.after or {}))


def object_of(request: Request) -> uuid.UUID | None:
    """Return the identifier that the path names last, if it names any."""
    named = [canonical_uuid(str(value)) for value in request.path_params.values()]
    return named[-1] if named else None
