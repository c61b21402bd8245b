"""What may be done with tasks, deliveries and dead letters, and with which of them."""

import uuid

from app.core.context import Context
from app.core.exceptions import EventNotFoundError, TaskNotFoundError
from app.core.outbox import Kind, Outbox
from app.core.permissions import ADMINS, EVERYONE, Permission


class TaskPermission(Permission):
    """Permissions on tasks, and on the deliveries of events."""

    read = "tasks.read", "See the tasks that one started, and the deliveries of what one did.", EVERYONE
    manage = "tasks.manage", "See those of others, too.", ADMINS


class DeadLetterPermission(Permission):
    """Permissions on what failed for good."""

    read = "dead_letters.read", "See deliveries and tasks that failed for good.", ADMINS
    manage = "dead_letters.manage", "Have them tried again, or discard them.", ADMINS


async def may_see_task(ctx: Context, task_id: uuid.UUID) -> bool:
    """Tell whether the caller may see a task; one that they may not is as missing as one that never was."""
    entry = await Outbox(ctx).find(task_id)
    own = entry is not None and entry.actor_id == ctx.actor_id
    if entry is None or entry.kind != Kind.task or not (own or TaskPermission.manage in ctx.permissions):
        raise TaskNotFoundError
    return True


async def may_see_event(ctx: Context, event_id: uuid.UUID) -> bool:
    """Tell the same of the deliveries of an event; who caused it, owns them all."""
    entries = await Outbox(ctx).deliveries(event_id)
    own = any(entry.actor_id == ctx.actor_id for entry in entries)
    if not entries or not (own or TaskPermission.manage in ctx.permissions):
        raise EventNotFoundError
    return True
