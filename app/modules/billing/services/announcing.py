"""How a change of an entity is told: by what is otherwise now."""

from app.core.context import Context
from app.core.events import Event
from app.modules.billing.adapters.rows import differences
from app.modules.billing.models import Identified


async def announce(ctx: Context, event: type[Event], before: Identified | None, after: Identified) -> None:
    """Emit an event with what changed; none where nothing did."""
    was, now = differences(before, after)
    if now:
        await ctx.emit(event(object_id=after.id, before=was, after=now))
