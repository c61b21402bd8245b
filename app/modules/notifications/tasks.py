"""What of notices is done one by one."""

import uuid

from app.core.context import Context
from app.core.reactions import RETRIES, TIMEOUT
from app.core.tasks import task
from app.modules.notifications.services import NewsMailService


@task(retries=RETRIES, timeout=TIMEOUT)
async def send_news(ctx: Context, user_id: uuid.UUID, kind: str, title: str) -> None:
    """Mail news to one member: an address that is refused is tried again alone."""
    await NewsMailService(ctx).send(user_id, kind, title)
