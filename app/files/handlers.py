"""What follows when a file was deleted."""

from app.core.context import Context
from app.files.events import FileDeleted
from app.files.services import key_of


async def remove_object(ctx: Context, event: FileDeleted) -> None:
    """Remove the content of a file whose row is gone; again, until the store answers."""
    await ctx.services.files.remove(key_of(ctx, event.object_id))
