"""Work on sign-ins that nobody asks for."""

from app.auth.services import SignInRetentionService
from app.core.context import Context
from app.core.tasks import task


@task(name="auth.purge", retries=0, timeout=3600, system=True)
async def purge_sign_ins(ctx: Context) -> int:
    """Remove sign-ins that ended long ago; return how many."""
    return await SignInRetentionService(ctx).purge()
