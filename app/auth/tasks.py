"""Mails that somebody asked for at the door, and what is removed when it is over."""

import datetime as dt
import random
import uuid

from app.auth.services.letters import LetterService
from app.auth.services.retention import SignInRetentionService
from app.config import settings
from app.core.context import Context
from app.core.reactions import RETRIES, TIMEOUT
from app.core.tasks import task

CHANCE = random.SystemRandom()


@task(system=True, retries=RETRIES, timeout=TIMEOUT)
async def send_reset(ctx: Context, email: str) -> None:
    """Mail the link that sets a new password to an address, if it has an account."""
    await LetterService(ctx).send_reset(email)


@task(system=True, retries=RETRIES, timeout=TIMEOUT)
async def send_verification(ctx: Context, user_id: uuid.UUID) -> None:
    """Mail a person the link that verifies their address."""
    await LetterService(ctx).send_verification(user_id)


def a_moment(longest: float = settings.mail.delay_seconds) -> dt.timedelta:
    """Return a random time of so many seconds at most.

    Were the work done at once, the next request on a quiet server would be slower when there is much to do: when the
    account that was asked for exists.
    """
    return dt.timedelta(seconds=CHANCE.uniform(0, longest))


@task(name="auth.purge", retries=0, timeout=3600, system=True)
async def purge_sign_ins(ctx: Context) -> int:
    """Remove sign-ins that ended long ago; return how many."""
    return await SignInRetentionService(ctx).purge()
